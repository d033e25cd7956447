//! `import "path";`: other scripts become a part of the script, headers and C sources are noted.
//!
//! A path is looked for in the folder of the text that has the import, then in that of the script.
//! Nothing is imported from where everybody may write, and nothing twice.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::diagnostics::{Diagnostic, Sources};
use crate::files::{Files, Found};
use crate::semantics::macros::visit::{self, Visitor};
use crate::syntax;
use crate::syntax::ast::{CDefinition, CDefinitionKind, Script, SourceId, Span, Stmt, StmtKind};

/// How deep scripts may import one another.
const DEEPEST: usize = 32;

/// Parts of bpftrace's standard library by the names that scripts import them with. All of it is always
/// there.
const STANDARD: [&str; 8] = ["map", "process", "stack", "strings", "system", "task", "test", "usdt"];

/// What a part has beyond the language's own functions: it is there for those who import the part.
const PARTS: [(&str, &str); 1] = [("test", "macro __always_true() { (int32)1 }")];

/// A C source that is to be compiled and linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSource {
    /// The import.
    pub span: Span,
    pub path: PathBuf,
    /// Its text among the sources.
    pub source: SourceId,
}

/// Makes all that a script imports a part of it: what imported scripts define and trace comes before
/// its own, and so do the definitions of imported headers. Gives the C sources.
///
/// # Errors
///
/// Imports that cannot be found, read or parsed.
pub fn resolve(
    script: &mut Script,
    source: SourceId,
    sources: &Sources,
    files: &dyn Files,
) -> Result<Vec<CSource>, Vec<Diagnostic>> {
    let inner = Inner::of(script);
    if script.imports.is_empty() && inner.is_empty() {
        return Ok(Vec::new());
    }
    let root = sources.get(source).map(|source| source.folder().to_owned()).unwrap_or_default();
    let mut importer = Importer {
        sources,
        files,
        root,
        depth: 0,
        seen: BTreeSet::new(),
        next_id: script.next_id,
        before: Script::default(),
        c_sources: Vec::new(),
        diagnostics: Vec::new(),
    };
    for import in &script.imports {
        importer.import(&import.path, import.span, source);
    }
    for (path, span) in &inner {
        importer.import_inside(path, *span, source);
    }
    if !importer.diagnostics.is_empty() {
        return Err(importer.diagnostics);
    }
    script.next_id = importer.next_id;
    let mut before = importer.before;
    before.c_definitions.append(&mut script.c_definitions);
    before.items.append(&mut script.items);
    script.c_definitions = before.c_definitions;
    script.items = before.items;
    Ok(importer.c_sources)
}

/// Includes headers before all else, as `--include` asks for.
pub fn include(script: &mut Script, headers: &[String]) {
    let source = script.c_definitions.first().map_or(SourceId::default(), |first| first.span.source);
    let included = headers.iter().map(|header| included(header, Span { source, start: 0, end: 0 }));
    script.c_definitions.splice(0..0, included);
}

/// `#include "header"`, which stands for what is at the span.
fn included(header: &str, span: Span) -> CDefinition {
    let kind = CDefinitionKind::Preprocessor("include".to_owned());
    CDefinition { span, kind, text: format!("#include \"{header}\"") }
}

struct Importer<'a> {
    sources: &'a Sources,
    files: &'a dyn Files,
    /// The folder of the script.
    root: PathBuf,
    depth: usize,
    /// Files that have been imported.
    seen: BTreeSet<PathBuf>,
    next_id: u32,
    /// What goes before the script.
    before: Script,
    c_sources: Vec<CSource>,
    diagnostics: Vec<Diagnostic>,
}

impl Importer<'_> {
    fn refuse(&mut self, id: &'static str, span: Span, message: String) {
        self.diagnostics.push(Diagnostic::error(id, span, message));
    }

    /// `import` outside of blocks.
    fn import(&mut self, name: &str, span: Span, from: SourceId) {
        let standard = name.strip_prefix("stdlib").map(|part| part.trim_start_matches('/'));
        let is_standard = standard.is_some_and(|part| part.is_empty() || STANDARD.contains(&part));
        if is_standard && self.look_up(name, from).is_none() {
            let part = PARTS.iter().find(|(part, _)| standard == Some(*part));
            return part.into_iter().for_each(|(_, text)| self.part(name, text, span));
        }
        let Some(found) = self.find(name, span, from) else { return };
        if !found.is_folder {
            return self.file(found.path, name, span);
        }
        let names = match self.files.list(&found.path) {
            Ok(names) => names,
            Err(reason) => {
                return self.refuse("import-failed", span, format!("the folder {name} cannot be read: {reason}"));
            }
        };
        for entry in names {
            // Folders in it and files of other kinds are left alone.
            let path = found.path.join(&entry);
            if kind_of(&path).is_none() {
                continue;
            }
            let Some(found) = self.files.find(&path).filter(|found| !found.is_folder) else { continue };
            let name = format!("{name}/{entry}");
            if !self.is_open(&name, &path, &found, span) {
                self.file(found.path, &name, span);
            }
        }
    }

    /// `import` in a block, where only what adds no probes may stand.
    fn import_inside(&mut self, name: &str, span: Span, from: SourceId) {
        if kind_of(Path::new(name)).is_none_or(|kind| kind == Kind::Script) {
            let message = "an import in a block names a header (.h) or a C source (.bpf.c)".to_owned();
            return self.refuse("invalid-import", span, message);
        }
        self.import(name, span, from);
    }

    /// The first folder that has it, with the folders that were searched.
    fn look_up(&self, name: &str, from: SourceId) -> Option<(PathBuf, Found)> {
        let own = self.sources.get(from).map(|source| source.folder().to_owned()).unwrap_or_default();
        let folders = [own, self.root.clone()];
        folders.into_iter().find_map(|folder| {
            let path = folder.join(name);
            let found = self.files.find(&path)?;
            Some((path, found))
        })
    }

    fn find(&mut self, name: &str, span: Span, from: SourceId) -> Option<Found> {
        let Some((path, found)) = self.look_up(name, from) else {
            let folder = if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root };
            let message = format!("there is no file or folder {name} to import");
            let hint = format!("it was looked for in {}", folder.display());
            self.diagnostics.push(Diagnostic::error("unknown-import", span, message).hint(hint));
            return None;
        };
        (!self.is_open(name, &path, &found, span)).then_some(found)
    }

    /// Whether anybody may change what is imported, because the file or a folder it lies in is open to all: the one
    /// that was named, or the one that a link leads to. Says so.
    fn is_open(&mut self, name: &str, path: &Path, found: &Found, span: Span) -> bool {
        let folders = [path.parent(), found.path.parent()].into_iter().flatten();
        let is_open = |folder: &&Path| self.files.find(folder).is_some_and(|folder| folder.world_writable);
        let open = if found.world_writable { Some(path) } else { folders.into_iter().find(is_open) };
        let Some(open) = open else { return false };
        let shown = if open.as_os_str().is_empty() { Path::new(".") } else { open };
        let shown = shown.display();
        let message = format!("{name} is not imported: {shown} has global write permissions, so anybody may change it");
        self.diagnostics.push(Diagnostic::error("unsafe-import", span, message).hint(format!("chmod o-w {shown}")));
        true
    }

    fn file(&mut self, path: PathBuf, name: &str, span: Span) {
        let Some(kind) = kind_of(&path) else {
            let message = format!(
                "{name} cannot be imported: it is neither a script (.bt), nor a header (.h), nor a C source (.bpf.c)"
            );
            return self.refuse("invalid-import", span, message);
        };
        if !self.seen.insert(path.clone()) {
            return;
        }
        if kind == Kind::Header {
            // As if the script included it.
            return self.before.c_definitions.push(included(&path.display().to_string(), span));
        }
        let text = match self.files.read(&path) {
            Ok(text) => text,
            Err(reason) => return self.refuse("import-failed", span, format!("{name} cannot be read: {reason}")),
        };
        let source = self.sources.attach(path.display().to_string(), text.as_str());
        match kind {
            Kind::CSource => self.c_sources.push(CSource { span, path, source }),
            _ => self.script(&text, source, span),
        }
    }

    /// A part of the standard library, once.
    fn part(&mut self, name: &str, text: &str, span: Span) {
        if self.seen.insert(PathBuf::from(name)) {
            let source = self.sources.attach(name, text);
            self.script(text, source, span);
        }
    }

    /// Another script; what it imports itself comes first.
    fn script(&mut self, text: &str, source: SourceId, span: Span) {
        if self.depth >= DEEPEST {
            return self.refuse("invalid-import", span, "imports are nested too deeply here".to_owned());
        }
        let mut script = match syntax::parse_after(text, source, self.next_id) {
            Ok(script) => script,
            Err(errors) => {
                return self.diagnostics.extend(errors.into_iter().map(|error| error.also(span, "imported here")));
            }
        };
        self.next_id = script.next_id;
        if let Some(config) = script.config.as_ref().filter(|config| !config.entries.is_empty()) {
            let diagnostic = Diagnostic::error("invalid-import", config.span, "invalid `config` within import");
            let hint = "settings are those of the script that is run: move the block there";
            self.diagnostics.push(diagnostic.also(span, "imported here").hint(hint));
        }
        self.depth += 1;
        for import in &script.imports {
            self.import(&import.path, import.span, source);
        }
        for (path, span) in Inner::of(&mut script) {
            self.import_inside(&path, span, source);
        }
        self.depth -= 1;
        self.before.c_definitions.append(&mut script.c_definitions);
        self.before.items.append(&mut script.items);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Script,
    Header,
    CSource,
}

fn kind_of(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?;
    match () {
        () if name.ends_with(".bt") => Some(Kind::Script),
        () if name.ends_with(".h") => Some(Kind::Header),
        () if name.ends_with(".bpf.c") => Some(Kind::CSource),
        () => None,
    }
}

/// Finds imports in blocks.
struct Inner(Vec<(String, Span)>);

impl Inner {
    fn of(script: &mut Script) -> Vec<(String, Span)> {
        let mut inner = Inner(Vec::new());
        visit::walk_script(&mut inner, script);
        inner.0
    }
}

impl Visitor for Inner {
    fn statement(&mut self, statement: &mut Stmt) {
        if let StmtKind::Import(path) = &statement.kind {
            self.0.push((path.clone(), statement.span));
        }
        visit::walk_statement(self, statement);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::syntax::ast::Item;

    /// Files by path; a path that ends in `/` is a folder, one that starts with `!` may be changed
    /// by everybody.
    struct FakeFiles(BTreeMap<PathBuf, (bool, Option<&'static str>)>);

    fn files(entries: &[(&'static str, &'static str)]) -> FakeFiles {
        let entry = |(path, text): &(&'static str, &'static str)| {
            let open = path.starts_with('!');
            let bare = path.trim_matches(['!', '/']);
            (PathBuf::from(bare), (open, (!path.ends_with('/')).then_some(*text)))
        };
        FakeFiles(entries.iter().map(entry).collect())
    }

    impl Files for FakeFiles {
        fn find(&self, path: &Path) -> Option<Found> {
            let (world_writable, text) = self.0.get(path)?;
            Some(Found { path: path.to_owned(), is_folder: text.is_none(), world_writable: *world_writable })
        }

        fn list(&self, folder: &Path) -> Result<Vec<String>, String> {
            let inside = self.0.keys().filter(|path| path.parent() == Some(folder));
            Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
        }

        fn read(&self, path: &Path) -> Result<String, String> {
            self.0.get(path).and_then(|(_, text)| *text).map(str::to_owned).ok_or_else(|| "not there".to_owned())
        }
    }

    fn resolved(text: &str, files: &FakeFiles) -> Result<(Script, Vec<CSource>), Vec<Diagnostic>> {
        let mut sources = Sources::default();
        let source = sources.add("d/main.bt", text);
        let mut script = syntax::parse(text, source)?;
        let c_sources = resolve(&mut script, source, &sources, files)?;
        Ok((script, c_sources))
    }

    fn probes(script: &Script) -> Vec<String> {
        let probe = |item: &Item| match item {
            Item::Probe(probe) => probe.attach_points.first().map(|point| point.text.clone()),
            _ => None,
        };
        script.items.iter().filter_map(probe).collect()
    }

    fn error(text: &str, files: &FakeFiles) -> (&'static str, String) {
        let errors = resolved(text, files).unwrap_err();
        (errors[0].id, errors[0].message.clone())
    }

    #[test]
    fn scripts_come_before_those_that_import_them_and_once() {
        let files = files(&[
            ("d/a.bt", "import \"lib/b.bt\"; interval:s:1 { }"),
            ("d/lib/", ""),
            ("d/lib/b.bt", "import \"c.bt\"; interval:s:2 { }"),
            ("d/lib/c.bt", "import \"../a.bt\"; interval:s:3 { }"),
            ("d/lib/../a.bt", "import \"lib/b.bt\"; interval:s:1 { }"),
        ]);
        let (script, _) = resolved("import \"lib/c.bt\"; import \"lib/b.bt\"; interval:s:4 { }", &files).unwrap();
        assert_eq!(probes(&script), ["interval:s:2", "interval:s:1", "interval:s:3", "interval:s:4"]);
    }

    #[test]
    fn folders_give_what_can_be_imported() {
        let files = files(&[
            ("d/lib/", ""),
            ("d/lib/a.bt", "interval:s:1 { }"),
            ("d/lib/b.h", ""),
            ("d/lib/c.bpf.c", "int f(void) { return 1; }"),
            ("d/lib/readme.md", ""),
            ("d/lib/more/", ""),
        ]);
        let (script, c_sources) = resolved("import \"lib\"; begin { }", &files).unwrap();
        assert_eq!(probes(&script), ["interval:s:1", "begin"]);
        assert_eq!(script.c_definitions[0].text, "#include \"d/lib/b.h\"");
        assert_eq!(c_sources[0].path, Path::new("d/lib/c.bpf.c"));
    }

    #[test]
    fn what_cannot_be_imported_is_refused() {
        let files = files(&[
            ("d/open.txt", ""),
            ("!d/open.bt", ""),
            ("d/kept/", ""),
            ("!d/kept/open.bt", ""),
            ("!d/w/", ""),
            ("d/w/x.bt", ""),
            ("d/config.bt", "config = { max_map_keys = 3 } begin { }"),
            ("d/wrong.bt", "begin {"),
        ]);
        assert_eq!(error("import \"none.bt\";", &files).0, "unknown-import");
        assert_eq!(error("import \"open.txt\";", &files).0, "invalid-import");
        assert!(error("import \"open.bt\";", &files).1.contains("d/open.bt has global write permissions"));
        assert!(error("import \"w/x.bt\";", &files).1.contains("d/w has global write permissions"));
        assert_eq!(error("import \"w\";", &files).0, "unsafe-import");
        assert!(error("import \"kept\";", &files).1.contains("d/kept/open.bt has global write permissions"));
        assert!(error("import \"config.bt\";", &files).1.contains("`config` within import"));
        assert_eq!(error("begin { import \"config.bt\"; }", &files).0, "invalid-import");
        let errors = resolved("import \"wrong.bt\";", &files).unwrap_err();
        assert_eq!(errors[0].primary.span.source, SourceId(1));
        assert_eq!(errors[0].secondary.last().unwrap().span.source, SourceId(0));
    }

    #[test]
    fn parts_of_the_standard_library_are_there() {
        assert!(resolved("import \"stdlib\"; import \"stdlib/strings\"; begin { }", &files(&[])).is_ok());
        assert_eq!(error("import \"stdlib/nothing\";", &files(&[])).0, "unknown-import");
    }
}
