//! `rutter watch`: what the catalog says, once or at each change.
//!
//! Without a program the first answer is printed and the command ends. With one it is run for each
//! answer that differs from the last, with the answer on its stdin and the index in `CONSUL_INDEX`.

mod plan;

use super::child::{self, Forwarded, Shutdown};
use super::client::{self, Client, ClientError};
use super::failure::Outcome;
use super::flags::{ClientFlags, ServerFlags};
use super::output;
use bytes::Bytes;
use clap::{ArgAction, Args};
use http::{Method, StatusCode};
use plan::{Plan, Position};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// How long between a failure and the next try; it grows with the square of failures in a row.
const RETRY: Duration = Duration::from_secs(5);

/// But not beyond this.
const LONGEST_RETRY: Duration = Duration::from_secs(180);

/// Watches for changes, and runs a program at each.
#[derive(Args)]
#[command(
    long_about = "Prints what the catalog says as JSON, once; or, given a program, runs it at each change with the \
                  JSON on its stdin and the index in CONSUL_INDEX. It ends when the program fails.",
    after_help = "Examples:\n  $ rutter watch -type=services\n  $ rutter watch -type=service -service=web -passingonly=true\n  \
                  $ rutter watch -type=key -key=redis/config 'cat > /tmp/config.json'\n  \
                  $ rutter watch -type=checks -state=critical -shell=false ./alarm"
)]
pub struct Watch {
    /// key, keyprefix, services, nodes, service, checks, event or agent_service
    #[arg(long = "type", value_name = "TYPE", default_value = "", hide_default_value = true)]
    kind: String,
    /// The key; for key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// How keys begin; for keyprefix
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// The service; for service and checks
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The id of an instance of this agent; for agent_service
    #[arg(long, value_name = "ID")]
    service_id: Option<String>,
    /// Only instances with this tag; may be given again, for service
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Only instances whose checks pass; for service
    #[arg(long, value_name = "BOOL")]
    passingonly: Option<String>,
    /// The status: any, passing, warning or critical; for checks
    #[arg(long, value_name = "STATUS")]
    state: Option<String>,
    /// The event's name; for event
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only what an expression selects; for services, nodes, service and checks
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Run it through $SHELL or /bin/sh; on by default
    #[arg(long, action = ArgAction::Set, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", value_parser = super::go_bool)]
    shell: bool,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// The program with its arguments
    #[arg(value_name = "PROGRAM", allow_hyphen_values = true)]
    program: Vec<String>,
}

impl Watch {
    /// Prints once, or runs the program until it fails.
    pub fn run(self) -> Outcome {
        let plan = Plan::of(&self)?;
        let client = self.client.client()?;
        client::run(async {
            let mut shutdown = Shutdown::listen()?;
            client.node_name().await?;
            tokio::select! {
                done = self.follow(&client, plan) => done,
                _ = shutdown.next() => Ok(()),
            }
        })
    }

    async fn follow(&self, client: &Client, plan: Plan) -> Outcome {
        let mut position = Position::default();
        let mut last: Option<Value> = None;
        let mut failures = 0;
        loop {
            let (next, shown) = match ask(client, &plan, &position).await {
                Ok(seen) => seen,
                // A program that waits for changes outlives an agent that is started anew.
                Err(why) if !self.program.is_empty() && why.may_pass() => {
                    failures += 1;
                    let pause = retry(failures);
                    let (kind, seconds) = (&self.kind, pause.as_secs());
                    output::complain(&format!(
                        "Watch (type: {kind}) errored: {why}, retry in {seconds}s"
                    ));
                    tokio::time::sleep(pause).await;
                    position = Position::default();
                    continue;
                }
                Err(why) => return Err(format!("Error querying Consul agent: {why}").into()),
            };
            failures = 0;
            let unchanged = position.is_at(&next) || last.as_ref() == Some(&shown);
            let seen = next.name();
            position.move_to(next, &plan);
            if unchanged && last.is_some() {
                continue;
            }
            if self.program.is_empty() {
                return output::say_json(&shown, "    ");
            }
            self.tell(&seen, &shown).await?;
            last = Some(shown);
        }
    }

    async fn tell(&self, seen: &str, shown: &Value) -> Outcome {
        let mut forwarded = Forwarded::listen()?;
        let mut command = child::command(&self.program, self.shell)?;
        command.env("CONSUL_INDEX", seen);
        command.stdin(Stdio::piped());
        let spawned = command.spawn();
        let mut child = spawned.map_err(|why| format!("Error starting handler: {why}"))?;
        let stdin = child.stdin.take();
        let text = format!("{shown}\n");
        let written = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its stdin is none the worse for it.
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let (_, ended) = tokio::join!(written, child::wait(&mut child, &mut forwarded));
        Ok(ended.map_err(|why| format!("Error executing handler: {why}"))?)
    }
}

async fn ask(
    client: &Client,
    plan: &Plan,
    position: &Position,
) -> Result<(Position, Value), ClientError> {
    let query = position.ask(plan.query.clone());
    let answer = client.send(Method::GET, &plan.door, &query, Bytes::new()).await?;
    match answer.status {
        StatusCode::NOT_FOUND if plan.may_be_missing() => Ok((Position::of(&answer), Value::Null)),
        status if status.is_success() => plan.read(&answer, position),
        _ => Err(answer.refusal()),
    }
}

fn retry(failures: u32) -> Duration {
    RETRY.saturating_mul(failures.saturating_mul(failures)).min(LONGEST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_after_failures_grows_to_three_minutes() {
        assert_eq!(retry(1), Duration::from_secs(5));
        assert_eq!(retry(3), Duration::from_secs(45));
        assert_eq!(retry(u32::MAX), Duration::from_secs(180));
    }
}
