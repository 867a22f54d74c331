//! Timers and thresholds: inputs and exact outputs.

use super::*;

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn id(name: &str) -> Folded {
    Folded::new(name)
}

fn spec(kind: Kind) -> Spec {
    Spec {
        kind,
        success_before_passing: 0,
        failures_before_warning: 0,
        failures_before_critical: 0,
        critical_limit: None,
        instance: Folded::default(),
    }
}

fn probe() -> Spec {
    spec(Kind::Probe(Duration::from_secs(10)))
}

fn watch(name: &str, spec: Spec, first: u64) -> Input {
    Input::Watch { id: id(name), spec, status: Status::Critical, first: Duration::from_secs(first) }
}

fn ran(name: &str, run: u64, status: Status) -> Input {
    Input::Ran { id: id(name), run, status, output: "o".to_owned() }
}

fn run(name: &str, run: u64) -> Output {
    Output::Run { id: id(name), run }
}

fn result(name: &str, status: Status, output: &str) -> Output {
    Output::Result { id: id(name), status, output: output.to_owned() }
}

#[test]
fn a_probe_runs_when_it_is_due_and_again_an_interval_after_it_ended() {
    let mut checks = Checks::new(at(0), MAX_PROBES);
    checks.step(watch("a", probe(), 3), at(0));
    assert_eq!(checks.next_due(), at(3));
    assert_eq!(checks.step(Input::Tick, at(2)), []);
    assert_eq!(checks.step(Input::Tick, at(3)), [run("a", 1)]);
    assert_eq!(checks.step(Input::Tick, at(20)), [], "one run of a check at a time");
    let outputs = checks.step(ran("a", 1, Status::Passing), at(20));
    assert_eq!(outputs, [result("a", Status::Passing, "o")]);
    assert_eq!(checks.next_due(), at(30));
    assert_eq!(checks.step(Input::Tick, at(30)), [run("a", 2)]);
}

#[test]
fn the_result_of_a_run_that_was_overtaken_is_dropped() {
    let mut checks = Checks::new(at(0), MAX_PROBES);
    checks.step(watch("a", probe(), 0), at(0));
    assert_eq!(checks.step(Input::Tick, at(0)), [run("a", 1)]);
    let other = spec(Kind::Probe(Duration::from_secs(5)));
    checks.step(watch("a", other, 0), at(1));
    assert_eq!(checks.step(Input::Tick, at(1)), [run("a", 2)]);
    assert_eq!(checks.step(ran("a", 1, Status::Passing), at(2)), []);
    checks.step(Input::Forget(id("a")), at(2));
    assert_eq!(checks.step(ran("a", 2, Status::Passing), at(3)), []);
    assert_eq!(checks.step(Input::Tick, at(29)), []);
}

#[test]
fn the_same_probe_registered_again_goes_on_as_it_was() {
    let mut checks = Checks::new(at(0), MAX_PROBES);
    checks.step(watch("a", probe(), 3), at(0));
    checks.step(watch("a", probe(), 9), at(1));
    assert_eq!(checks.next_due(), at(3));
}

#[test]
fn no_more_probes_run_at_once_than_are_allowed() {
    let mut checks = Checks::new(at(0), MAX_PROBES);
    for number in 0..MAX_PROBES + 2 {
        checks.step(watch(&format!("{number:04}"), probe(), 0), at(0));
    }
    assert_eq!(checks.step(Input::Tick, at(0)).len(), MAX_PROBES);
    checks.step(Input::Forget(id(&format!("{MAX_PROBES:04}"))), at(1));
    let last = format!("{:04}", MAX_PROBES + 1);
    let outputs = checks.step(ran("0000", 1, Status::Passing), at(1));
    assert_eq!(outputs[1..], [run(&last, MAX_PROBES as u64 + 1)]);
}

/// Feeds one status after the other; `p w c` are results, the same letters what shows, `.` nothing new.
#[track_caller]
fn check_thresholds(success: u32, warning: u32, critical: u32, fed: &str, shown: &str) {
    let status = |letter| match letter {
        'p' => Status::Passing,
        'w' => Status::Warning,
        _ => Status::Critical,
    };
    let mut checks = Checks::new(at(0), MAX_PROBES);
    let spec = Spec {
        success_before_passing: success,
        failures_before_warning: if warning == 0 { critical } else { warning },
        failures_before_critical: critical,
        ..probe()
    };
    checks.step(watch("a", spec, 0), at(0));
    let mut seen = String::new();
    for (number, letter) in fed.chars().enumerate() {
        let now = at(number as u64 * 10);
        let run = number as u64 + 1;
        assert_eq!(
            checks.step(Input::Tick, now)[..1],
            [Output::Run { id: id("a"), run }],
            "run {run}"
        );
        match &checks.step(ran("a", run, status(letter)), now)[..] {
            [] => seen.push('.'),
            [Output::Result { status, .. }] => {
                seen.push(status.as_str().chars().next().unwrap());
            }
            other => panic!("run {run} brought {other:?}"),
        }
    }
    assert_eq!(seen, shown, "{success} {warning} {critical} {fed}");
}

#[test]
fn results_show_once_there_were_enough_in_a_row() {
    check_thresholds(0, 0, 0, "pwcpc", "pwcpc");
    check_thresholds(2, 0, 0, "pcppcp", "pc.pc.");
    check_thresholds(0, 0, 3, "pccpccc", "p..p..c");
    check_thresholds(0, 1, 3, "pcccp", "pwwcp");
    check_thresholds(0, 2, 3, "pcccp", "p.wcp");
    check_thresholds(2, 0, 2, "cppcwcc", "c.p...c");
    check_thresholds(2, 0, 2, "wcpw", "w..w");
}

#[test]
fn the_very_first_result_shows_at_once_whatever_the_thresholds() {
    check_thresholds(3, 0, 0, "p", "p");
    check_thresholds(3, 0, 3, "c", "c");
    check_thresholds(3, 1, 3, "w", "w");
}

#[test]
fn a_ttl_check_turns_critical_when_nobody_reports_in_time() {
    let mut checks = Checks::new(at(0), MAX_PROBES);
    let ttl = spec(Kind::Ttl(Duration::from_secs(10)));
    let report = |output: &str| Input::Reported {
        id: id("t"),
        status: Status::Passing,
        output: output.to_owned(),
    };
    checks.step(watch("t", ttl.clone(), 10), at(0));
    assert_eq!(checks.step(report("fine"), at(9)), [result("t", Status::Passing, "fine")]);
    assert_eq!(checks.step(Input::Tick, at(18)), []);
    let last = "TTL expired (last output before timeout follows): fine";
    assert_eq!(checks.step(Input::Tick, at(19)), [result("t", Status::Critical, last)]);
    assert_eq!(checks.step(Input::Tick, at(29)), []);
    checks.step(report(""), at(30));
    assert_eq!(checks.step(Input::Tick, at(40)), [result("t", Status::Critical, "TTL expired")]);
    checks.step(report("again"), at(41));
    checks.step(watch("t", ttl, 10), at(45));
    assert_eq!(checks.step(Input::Tick, at(54)), [], "registered again, it begins anew");
    assert_eq!(checks.step(Input::Tick, at(55)), [result("t", Status::Critical, "TTL expired")]);
}

#[test]
fn reports_on_what_is_no_ttl_check_are_nothing() {
    let mut checks = Checks::new(at(0), MAX_PROBES);
    checks.step(watch("a", probe(), 3), at(0));
    for name in ["a", "nope"] {
        let report =
            Input::Reported { id: id(name), status: Status::Passing, output: String::new() };
        assert_eq!(checks.step(report, at(1)), []);
    }
    assert_eq!(checks.next_due(), at(3));
}

#[test]
fn an_instance_that_stays_critical_too_long_is_reaped() {
    let mut checks = Checks::new(at(0), MAX_PROBES);
    let limited = Spec {
        critical_limit: Some(Duration::from_secs(60)),
        instance: id("web"),
        ..spec(Kind::Ttl(Duration::from_secs(1000)))
    };
    checks.step(watch("t", limited.clone(), 1000), at(0));
    checks.step(watch("u", limited, 1000), at(0));
    let report = |status| Input::Reported { id: id("t"), status, output: String::new() };
    checks.step(report(Status::Passing), at(10));
    checks.step(report(Status::Critical), at(50));
    checks.step(Input::Forget(id("u")), at(50));
    for seconds in [30, 60, 90] {
        assert_eq!(checks.step(Input::Tick, at(seconds)), [], "{seconds}");
    }
    let reap = Output::Reap { instance: id("web"), check: id("t") };
    assert_eq!(checks.step(Input::Tick, at(120)), std::slice::from_ref(&reap));
    assert_eq!(checks.step(Input::Tick, at(149)), []);
    assert_eq!(checks.step(Input::Tick, at(150)), [reap], "until it is gone");
}

#[test]
fn output_is_cut_and_says_so() {
    let cut = |text: &str, limit| cut_output(text.to_owned(), limit);
    assert_eq!(cut("12345", 5), "12345");
    assert_eq!(cut("123456", 5), "12345 ... (captured 5 of 6 bytes)");
    assert_eq!(cut("1234é", 5), "1234 ... (captured 4 of 6 bytes)");
    let long = "x".repeat(5000);
    assert!(cut(&long, 4096).ends_with("x ... (captured 4096 of 5000 bytes)"));
}

#[test]
fn time_in_which_nobody_was_heard_does_not_count_once_for_each_report() {
    let mut checks = Checks::new(at(0), MAX_PROBES);
    let ttl = spec(Kind::Ttl(Duration::from_secs(10)));
    checks.step(watch("a", ttl.clone(), 10), at(0));
    checks.step(watch("b", ttl, 15), at(0));
    let starved = |lost| Input::Starved(Duration::from_secs(lost));
    assert_eq!(checks.step(starved(3), at(13)), []);
    assert_eq!(checks.step(Input::Tick, at(13)), [], "a has until 16");
    let report = Input::Reported { id: id("a"), status: Status::Passing, output: String::new() };
    assert_eq!(checks.step(report, at(14)), [result("a", Status::Passing, "")]);
    assert_eq!(checks.step(starved(60), at(75)), []);
    assert_eq!(checks.next_due(), at(30), "what is looked for is looked for late, too");
    assert_eq!(checks.step(Input::Tick, at(75)), [], "no more than a whole TTL is given back");
    checks.step(starved(60), at(85));
    let outputs = checks.step(Input::Tick, at(85));
    let expired = |name| result(name, Status::Critical, "TTL expired");
    assert_eq!(outputs, [expired("a"), expired("b")], "and only once");
}
