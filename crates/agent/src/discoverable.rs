//! Names that DNS cannot answer as Consul means them: they are taken, and told.
//!
//! Source: Consul, "Agent configuration", `node_name`; the words are its own.

use model::Instance;

/// The longest label of a name in DNS.
const LONGEST: usize = 63;

/// What to warn of a name: `kind` is `Node name`, `Service name` or `Service tag`.
pub fn undiscoverable(kind: &str, name: &str) -> Option<String> {
    let why = if name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        "invalid characters. Valid characters include all alpha-numerics and dashes."
    } else if name.len() > LONGEST {
        "it being too long. Valid lengths are between 1 and 63 bytes."
    } else {
        return None;
    };
    Some(format!("{kind} {name:?} will not be discoverable via DNS due to {why}"))
}

/// What to warn of an instance: its service's name, then its tags.
pub fn undiscoverable_names(instance: &Instance) -> Vec<String> {
    let tags = instance.tags.iter().filter_map(|tag| undiscoverable("Service tag", tag));
    undiscoverable("Service name", instance.service.as_str()).into_iter().chain(tags).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_dns_cannot_answer_is_told_in_consuls_words() {
        let (fits, long) = ("a".repeat(63), "a".repeat(64));
        for (name, told) in [
            ("web-1", None),
            ("WEB", None),
            ("", None),
            (&*fits, None),
            (
                "a_b",
                Some("invalid characters. Valid characters include all alpha-numerics and dashes."),
            ),
            (
                "a.b",
                Some("invalid characters. Valid characters include all alpha-numerics and dashes."),
            ),
            (
                "é",
                Some("invalid characters. Valid characters include all alpha-numerics and dashes."),
            ),
            (&*long, Some("it being too long. Valid lengths are between 1 and 63 bytes.")),
        ] {
            let told = told.map(|why| {
                format!("Node name \"{name}\" will not be discoverable via DNS due to {why}")
            });
            assert_eq!(undiscoverable("Node name", name), told, "{name}");
        }
    }

    #[test]
    fn an_instance_is_told_by_its_name_and_its_tags() {
        let tags = ["ok", "v1.2"].map(model::Text::from).into();
        let instance = Instance { service: "my_web".into(), tags, ..Instance::default() };
        let told = undiscoverable_names(&instance);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("Service name \"my_web\" will not be"), "{told:?}");
        assert!(told[1].starts_with("Service tag \"v1.2\" will not be"), "{told:?}");
    }
}
