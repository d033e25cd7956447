//! `probebook check`.

use serde_json::Value;

use super::{probebook, probebook_with};

#[test]
fn a_good_script_is_passed_in_silence() {
    let said = probebook_with(&["check", "-"], "begin { @ = count(); system(\"date\"); }");
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (0, "", ""));
}

#[test]
fn all_independent_errors_are_told_with_their_places() {
    let script = "begin { print($x); prnt(1); }\nend { @a = 1; @a = \"b\"; }\n";
    let said = probebook_with(&["check", "-f", "json", "-"], script);
    assert_eq!(said.code, 1);
    let found: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    let ids: Vec<&str> = found.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["undefined-variable", "unknown-name", "map-type-mismatch"]);
    assert_eq!(found[1]["hint"], "did you mean print?");
    let place = |one: &Value| ["line", "column", "end_line", "end_column"].map(|key| one[key].as_u64().unwrap());
    assert_eq!(place(&found[0]), [1, 15, 1, 17]);
    assert_eq!(place(&found[2]), [2, 15, 2, 17]);
    assert_eq!(place(&found[2]["related"][0]), [2, 7, 2, 9]);
}

#[test]
fn warnings_do_not_fail() {
    let said = probebook_with(&["check", "-f", "json", "-"], "begin { $i = 0; while ($i < 1) { $i++; } kprobe:x }");
    // A script that does not parse is an error, though.
    assert_eq!(said.code, 1);
    let said = probebook_with(&["check", "-f", "json", "-"], "tracepoint:sched:nosuch*, begin { }");
    let found: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, found[0]["severity"].as_str()), (0, Some("warning")), "{}", said.stdout);
}

#[test]
fn probes_that_are_not_here_may_be_taken_for_granted() {
    let script = "kprobe:nosuch { print(arg0); }\n\
                  t:no:such { printf(\"%s %d\\n\", str(args.filename), args.dev >> 20); @[args.x] = count(); }\n\
                  kr:nosuch { print(retval); }\n\
                  uprobe:/no/such:f { print(str(arg0)); }\n\
                  begin { print(*kaddr(\"nosuch\")); }\n";
    let said = probebook_with(&["check", "-"], script);
    assert_eq!(said.code, 1);
    let said = probebook_with(&["check", "--no-probe-check", "-"], script);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    let said = probebook_with(&["check", "--no-probe-check", "-"], "kprobe:nosuch { print($x); }");
    assert_eq!(said.code, 1, "other errors stay");
}

#[test]
fn a_missing_file_is_an_error() {
    let said = probebook(&["check", "/no/such/file.bt"]);
    assert_eq!(said.code, 1);
    assert_eq!(said.stderr, "ERROR: failed to open file '/no/such/file.bt': No such file or directory\n");
}

#[test]
fn a_missing_file_does_not_keep_others_from_being_checked() {
    let said = probebook_with(&["check", "/no/such/file.bt", "-"], "begin { print($x); }");
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("/no/such/file.bt") && said.stderr.contains("$x"), "{}", said.stderr);
}
