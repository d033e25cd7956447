//! `probebook doc`.

use super::{Said, probebook};

fn names() -> Vec<String> {
    let Said { code, stdout, .. } = probebook(&["doc"]);
    assert_eq!(code, 0);
    stdout.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_entry_has_a_signature_and_an_example_that_is_a_script() {
    let names = names();
    assert!(names.len() > 100, "{names:?}");
    let folder = tempfile::tempdir().unwrap();
    let mut scripts = vec!["check".to_owned(), "--no-probe-check".to_owned()];
    for name in names {
        let said = probebook(&["doc", &name]);
        let (text, example) = said.stdout.split_once("Example:\n").unwrap_or_else(|| panic!("{name} has no example"));
        let signature = text.lines().next().unwrap();
        assert!(name == "argN" || signature.contains(&name), "{signature}");
        let script = folder.path().join(name);
        std::fs::write(&script, example).unwrap();
        scripts.push(script.display().to_string());
    }
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    let checked = probebook(&scripts);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
}

#[test]
fn requirements_are_told() {
    let has = |name: &str, text: &str| {
        let said = probebook(&["doc", name]);
        assert!(said.stdout.contains(text), "{text} is not in {}", said.stdout);
    };
    has("printf", "Asynchronous: it takes effect when the event is processed.");
    has("kaddr", "Evaluated when the script is compiled.");
    has("system", "Unsafe: needs %unsafe on, or --unsafe.");
    has("override", "Works in: kprobe.");
    has("path", "Needs Linux 5.10.");
    has("uid", "uint64 uid()\nuint64 uid\n");
}

#[test]
fn an_unknown_name_is_an_error() {
    let said = probebook(&["doc", "nosuch"]);
    assert_eq!((said.code, said.stderr.as_str()), (1, "ERROR: there is no builtin or function nosuch\n"));
}
