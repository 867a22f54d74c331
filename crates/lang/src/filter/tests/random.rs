//! Random expressions: text and back, a model beside them, and noise.

use super::*;
use proptest::prelude::*;

const NAMES: &[&str] = &["Name", "Port", "On", "Tags", "Meta", "Checks", "Nope", "in", "or"];

fn selector() -> impl Strategy<Value = Selector> {
    let name = proptest::sample::select(NAMES).prop_map(str::to_owned);
    let below = prop_oneof![
        proptest::sample::select(&["rack", "Status", "a.b", "", "é\"", "9"][..])
            .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ];
    (name, prop::collection::vec(below, 0..3)).prop_map(|(name, mut names)| {
        names.insert(0, name);
        Selector(names)
    })
}

fn one_match(selector: impl Strategy<Value = Selector>) -> impl Strategy<Value = Expression> {
    use Operator::{Equal, In, IsEmpty, IsNotEmpty, Matches, NotEqual, NotIn, NotMatches};
    let operators = [Equal, NotEqual, In, NotIn, IsEmpty, IsNotEmpty, Matches, NotMatches];
    let value = prop_oneof!["\\PC{0,6}", "[a-z0-9.\"\\\\\n`-]{0,6}"];
    (selector, proptest::sample::select(operators.to_vec()), value).prop_map(
        |(selector, operator, value)| {
            let value = (!matches!(operator, IsEmpty | IsNotEmpty)).then_some(value);
            Expression::Match(Match { selector, operator, value })
        },
    )
}

/// Expressions as the parser gives them: no list within a list of its kind on the right, no `not` in
/// a `not`.
fn nested(leaf: impl Strategy<Value = Expression> + 'static) -> BoxedStrategy<Expression> {
    let leaf = leaf.boxed();
    leaf.prop_recursive(4, 24, 3, |inner| {
        let parts = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            parts.clone().prop_map(Expression::Or),
            parts.prop_map(Expression::And),
            inner.prop_map(|part| match part {
                Expression::Not(part) => *part,
                part => Expression::Not(Box::new(part)),
            }),
        ]
    })
    .boxed()
}

/// The meaning of the parts of an expression, put together in the simplest way.
fn model(expression: &Expression, row: &Toy) -> bool {
    match expression {
        Expression::Or(parts) => parts.iter().fold(false, |holds, part| holds | model(part, row)),
        Expression::And(parts) => parts.iter().fold(true, |holds, part| holds & model(part, row)),
        Expression::Not(part) => !model(part, row),
        Expression::Match(is) => model_match(is, row),
    }
}

fn model_match(is: &Match, row: &Toy) -> bool {
    let value = is.value.as_deref().unwrap_or_default();
    let path = is.selector.to_string();
    let negated = |holds: bool, plain: Operator| holds == (is.operator == plain);
    let by_text = |text: &str| match is.operator {
        Operator::In | Operator::NotIn => negated(text.contains(value), Operator::In),
        _ => negated(text == value, Operator::Equal),
    };
    match path.as_str() {
        "Name" => by_text(&row.name),
        "Port" => negated(row.port.to_string() == value, Operator::Equal),
        "Tags" if value.is_empty() => negated(row.tags.is_empty(), Operator::IsEmpty),
        "Tags" => negated(row.tags.iter().any(|tag| tag == value), Operator::In),
        "Checks.Status" => row.checks.0.iter().any(|check| by_text(&check.status)),
        "Meta.rack" => match row.meta.as_ref().and_then(|meta| meta.get("rack")) {
            Some(rack) => by_text(rack),
            None => matches!(is.operator, Operator::NotEqual | Operator::NotIn),
        },
        other => panic!("the model does not know {other}"),
    }
}

/// Comparisons the model knows, which fit the toy.
fn sound() -> impl Strategy<Value = Expression> {
    use Operator::{Equal, In, IsEmpty, IsNotEmpty, NotEqual, NotIn};
    let rows = vec![
        ("Name", vec![Equal, NotEqual, In, NotIn], vec!["web1", "we", "db"]),
        ("Port", vec![Equal, NotEqual], vec!["80", "0"]),
        ("Tags", vec![In, NotIn], vec!["v1", "v"]),
        ("Tags", vec![IsEmpty, IsNotEmpty], vec![""]),
        ("Checks.Status", vec![Equal, NotEqual, In, NotIn], vec!["passing", "pass", "critical"]),
        ("Meta.rack", vec![Equal, NotEqual, In, NotIn], vec!["1", "2"]),
    ];
    proptest::sample::select(rows).prop_flat_map(|(path, operators, values)| {
        let selector = Selector(path.split('.').map(str::to_owned).collect());
        (proptest::sample::select(operators), proptest::sample::select(values)).prop_map(
            move |(operator, value)| {
                let value = (!value.is_empty()).then(|| value.to_owned());
                Expression::Match(Match { selector: selector.clone(), operator, value })
            },
        )
    })
}

fn row() -> impl Strategy<Value = Toy> {
    let status = proptest::sample::select(&["passing", "critical", ""][..]);
    let checks = prop::collection::vec(status, 0..3).prop_map(|all| {
        let check = |status: &str| Inner { status: status.to_owned(), tags: texts(&[]) };
        Checks(all.into_iter().map(check).collect())
    });
    let name = proptest::sample::select(&["web1", "db", ""][..]);
    let tags = proptest::sample::select(vec![&["v1"][..], &[], &["v", "x"]]);
    let rack = prop::option::of(proptest::sample::select(&["1", "12", ""][..]));
    (name, prop::bool::ANY, tags, rack, checks).prop_map(|(name, port, tags, rack, checks)| Toy {
        name: name.to_owned(),
        port: if port { 80 } else { 0 },
        tags: texts(tags),
        meta: rack.map(|rack| [("rack".to_owned(), rack.to_owned())].into()),
        checks,
        ..Toy::default()
    })
}

proptest! {
    #[test]
    fn an_expression_survives_its_text(expression in nested(one_match(selector()))) {
        let text = expression.to_string();
        prop_assert_eq!(parse(&text), Ok(expression), "{}", text);
    }

    #[test]
    fn a_fitted_expression_means_what_its_parts_mean(
        expression in nested(sound()),
        row in row(),
    ) {
        let text = expression.to_string();
        let filter = Filter::compile(&text, &TOY).expect("it fits the toy");
        prop_assert_eq!(filter.matches(&row), model(&expression, &row), "{}", text);
    }

    #[test]
    fn noise_is_refused_or_understood_but_never_too_much(text in "\\PC{0,40}") {
        survives(&text);
    }

    #[test]
    fn what_was_understood_once_and_is_broken_then_is_survived(
        line in proptest::sample::select(corpus()),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\\n]{0,2}|é|\\[|\"|\\(|not "), 1..5),
    ) {
        let mut chars: Vec<char> = line.chars().collect();
        for (at, with) in cuts {
            let at = at.index(chars.len() + 1);
            let end = chars.len().min(at + 1);
            chars.splice(at..end, with.chars());
        }
        survives(&chars.into_iter().collect::<String>());
    }
}

/// Expressions to begin from, one a line.
fn corpus() -> Vec<&'static str> {
    include_str!("corpus.txt").lines().filter(|line| !line.is_empty()).collect()
}

/// Whatever the text is, it is read without a panic; a complaint says where; what is understood is
/// understood in the same way once written again, and has an answer for every row.
fn survives(text: &str) {
    match parse(text) {
        Ok(expression) => assert_eq!(parse(&expression.to_string()), Ok(expression), "{text}"),
        Err(error) => assert!(!error.to_string().is_empty(), "{text}"),
    }
    if let Ok(filter) = Filter::compile(text, &TOY) {
        for row in [toy(), Toy { checks: toy().checks, ..Toy::default() }] {
            let not = Filter::compile(&format!("not ({text})"), &TOY);
            let not = not.unwrap_or_else(|error| panic!("not ({text}): {error}"));
            assert_eq!(filter.matches(&row), !not.matches(&row), "{text}");
        }
    }
}

#[test]
fn the_corpus_is_survived_as_it_is_and_cut_anywhere() {
    for line in corpus() {
        survives(line);
        for (at, _) in line.char_indices() {
            survives(&line[..at]);
            survives(&line[at..]);
        }
    }
}
