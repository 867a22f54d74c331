//! `/v1/coordinate/`: nobody measures distances yet, so nobody has a coordinate.
//!
//! An update is checked as Consul checks it and then dropped: what a client says of a node would be
//! the only coordinate there is, and no order could be made of it.
//! Source: Consul, "Coordinate HTTP API"; story 29.

use super::blocking::{Found, Scene};
use super::catalog::nothing;
use super::error::{Problem, Stop};
use super::json::{Place, each_member, members};
use super::members::coordinate;
use crate::answer::{Answer, Content};
use crate::call::Call;
use http::StatusCode;
use lang::json::Json;
use model::{Index, Text};
use serde_json::json;

/// How many dimensions a coordinate has.
const DIMENSIONS: usize = 8;

fn enabled(call: &Call) -> Result<(), Problem> {
    match call.context.settings.coordinates {
        true => Ok(()),
        false => Err(Problem::Disabled("Coordinate")),
    }
}

/// `GET datacenters`: where the servers stand, as far as nobody has measured.
pub async fn datacenters(call: Call) -> Result<Answer, Problem> {
    enabled(&call)?;
    let is = &call.context.identity;
    let seen = call.authorizer().node_read(is.node_name.as_str());
    let own = json!({ "Node": is.node_name.as_str(), "Segment": "", "Coord": coordinate() });
    Ok(Answer::json(&json!([{
        "Datacenter": is.datacenter,
        "AreaID": "wan",
        "Coordinates": seen.then_some(own).into_iter().collect::<Vec<_>>(),
    }])))
}

/// `GET nodes`: none has one.
pub fn nodes(scene: &Scene) -> Result<Found, Stop> {
    enabled(scene.call)?;
    Ok(nothing(Index(1), Vec::new()))
}

/// `GET node/:node`: nor has this one.
pub async fn node(call: Call) -> Result<Answer, Problem> {
    enabled(&call)?;
    call.doors()?;
    Ok(Answer::new(StatusCode::NOT_FOUND, Content::Nothing))
}

/// `PUT update`: checked, and dropped.
pub async fn update(mut call: Call) -> Result<Answer, Problem> {
    enabled(&call)?;
    let update = Update::read(&call.json().await?)?;
    let doors = call.doors()?;
    if update.dimensions != DIMENSIONS {
        return Err(Problem::invalid("incompatible coordinate"));
    }
    let node = update.node.as_str();
    let authorizer = doors.reader.view().authorizer(&call.token);
    Problem::unless(authorizer.node_write(node), "node:write", node)?;
    Ok(Answer::empty())
}

/// What counts of an update.
#[derive(Default)]
struct Update {
    node: Text,
    dimensions: usize,
}

impl Update {
    fn read(body: &Json) -> Result<Update, Problem> {
        let place = Place::root("CoordinateUpdateRequest");
        let mut update = Update::default();
        members(body, "structs.CoordinateUpdateRequest", true, &mut |key, value| {
            match key {
                "node" => place.text("Node", value, &mut update.node)?,
                "datacenter" => place.text("Datacenter", value, &mut Text::default())?,
                "segment" => place.text("Segment", value, &mut Text::default())?,
                "token" => place.text("Token", value, &mut Text::default())?,
                "coord" => {
                    let wanted = "coordinate.Coordinate";
                    let coordinate = place.object("Coord", value, wanted)?.unwrap_or_default();
                    update.coordinate(
                        &place.inside("Coord", "CoordinateUpdateRequest"),
                        coordinate,
                    )?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(update)
    }

    fn coordinate(&mut self, place: &Place, value: &[(String, Json)]) -> Result<(), Problem> {
        each_member(value, true, &mut |key, value| {
            match key {
                "vec" => {
                    let numbers = place.items("Vec", value, "[]float64")?.unwrap_or_default();
                    for number in numbers {
                        place.real("Vec", number)?;
                    }
                    self.dimensions = numbers.len();
                }
                "error" => place.real("Error", value)?,
                "adjustment" => place.real("Adjustment", value)?,
                "height" => place.real("Height", value)?,
                _ => return Ok(false),
            }
            Ok(true)
        })
    }
}
