//! Names of functions as their languages write them.

/// `_ZN1A1fEi` as `A::f(int)`, Rust's names without their hash; `None` if a name is not mangled.
pub fn demangled(symbol: &str) -> Option<String> {
    if let Ok(name) = rustc_demangle::try_demangle(symbol) {
        return Some(format!("{name:#}"));
    }
    if !symbol.starts_with("_Z") && !symbol.starts_with("____Z") {
        return None;
    }
    let parsed = cpp_demangle::Symbol::new(symbol.as_bytes()).ok()?;
    parsed.demangle().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_languages() {
        let name = |symbol| demangled(symbol).unwrap_or_default();
        assert_eq!(name("_ZN5MyApp6Server14handle_requestEi"), "MyApp::Server::handle_request(int)");
        assert_eq!(name("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
        assert_eq!(name("_RNvCskwGfYPst2Cb_3foo16example_function"), "foo::example_function");
        assert_eq!(demangled("main"), None);
        assert_eq!(demangled("_Zbroken"), None);
    }
}
