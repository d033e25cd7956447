//! Where the code of a source line starts.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use gimli::{ColumnType, IncompleteLineProgram, LineProgramHeader, Reader};

use super::sections::{Bytes, Dwarf};
use super::units::{Unit, Units};

/// How far away a line with code may be to be proposed.
const NEAR: u64 = 100;

/// A line of a source file, as it is asked for.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// The end of its path, in whole parts: `file.c`, `src/file.c`, `/home/a/src/file.c`.
    pub file: &'a str,
    pub line: u64,
    /// 0 is any.
    pub column: u64,
}

/// What was found on the way.
#[derive(Default)]
struct Search {
    /// Files whose paths end as asked for.
    files: BTreeSet<PathBuf>,
    /// Lines of them that have code.
    lines: BTreeSet<u64>,
}

/// The address of the line's first instruction; the error says what there is instead.
pub fn address(units: &Units, wanted: Line) -> Result<u64, String> {
    let mut search = Search::default();
    let mut found = None;
    for number in (0..units.count()).filter(|number| !units.is_type(*number)) {
        let Some(unit) = units.skeleton(number) else { continue };
        let Some(program) = unit.line_program.clone() else { continue };
        let files = matching(units.dwarf(), &unit, program.header(), wanted.file);
        if files.is_empty() {
            continue;
        }
        search.files.extend(files.iter().map(|(_, path)| path.clone()));
        if search.files.len() > 1 {
            return Err(ambiguous(&search.files));
        }
        let numbers: Vec<u64> = files.into_iter().map(|(number, _)| number).collect();
        found = found.or_else(|| in_program(program, &numbers, wanted, &mut search));
    }
    found.ok_or_else(|| search.failed(wanted))
}

/// Numbers and paths of a line program's files that are meant.
fn matching(dwarf: &Dwarf, unit: &Unit, header: &LineProgramHeader<Bytes>, file: &str) -> Vec<(u64, PathBuf)> {
    let wanted = normal(Path::new(file));
    // Numbers start at 1 before DWARF 5, where file 0 is the unit itself.
    let last = header.file_names().len() as u64;
    let files = (0..=last).filter_map(|number| Some((number, path(dwarf, unit, header, number)?)));
    let mut files: Vec<(u64, PathBuf)> = files.filter(|(_, path)| path.ends_with(&wanted)).collect();
    files.dedup();
    files
}

/// The full path of a file, as the compiler saw it.
fn path(dwarf: &Dwarf, unit: &Unit, header: &LineProgramHeader<Bytes>, number: u64) -> Option<PathBuf> {
    let file = header.file(number)?;
    let text = |value| {
        let bytes = dwarf.attr_string(unit, value).ok()?;
        let bytes = bytes.to_slice().ok()?.into_owned();
        Some(PathBuf::from(OsStr::from_bytes(&bytes)))
    };
    let mut path = unit
        .comp_dir
        .as_ref()
        .and_then(|folder| folder.to_slice().ok())
        .map_or_else(PathBuf::new, |folder| PathBuf::from(OsStr::from_bytes(&folder)));
    if let Some(folder) = file.directory(header).and_then(text) {
        path.push(folder);
    }
    path.push(text(file.path_name())?);
    Some(normal(&path))
}

/// Without `.` and, as far as it goes, without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(result.components().next_back(), Some(Component::Normal(_))) => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

fn in_program(program: IncompleteLineProgram<Bytes>, files: &[u64], wanted: Line, search: &mut Search) -> Option<u64> {
    let mut rows = program.rows();
    while let Ok(Some((_, row))) = rows.next_row() {
        let Some(line) = row.line().filter(|_| !row.end_sequence() && files.contains(&row.file_index())) else {
            continue;
        };
        let column = match row.column() {
            ColumnType::LeftEdge => 0,
            ColumnType::Column(column) => column.get(),
        };
        // What the linker has dropped is at address 0.
        if line.get() == wanted.line && (wanted.column == 0 || wanted.column == column) && row.address() != 0 {
            return Some(row.address());
        }
        if line.get().abs_diff(wanted.line) <= NEAR {
            search.lines.insert(line.get());
        }
    }
    None
}

impl Search {
    fn failed(&self, wanted: Line) -> String {
        let Line { file, line, column } = wanted;
        if self.files.is_empty() {
            return format!("No compilation unit matches {file}");
        }
        let place = if column > 0 { format!("{file}:{line}:{column}") } else { format!("{file}:{line}") };
        let message = format!("Unable to map '{place}' to address");
        match self.lines.iter().min_by_key(|near| near.abs_diff(line)) {
            Some(near) if *near == line => format!("{message}: no statement starts in that column"),
            Some(near) => format!("{message}: the nearest line with code is {near}"),
            None => message,
        }
    }
}

fn ambiguous(files: &BTreeSet<PathBuf>) -> String {
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    format!("Ambiguous source path, matches multiple files: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_in_whole_parts() {
        let path = normal(Path::new("/src/./lib/../main.c"));
        assert_eq!(path, Path::new("/src/main.c"));
        assert!(path.ends_with(normal(Path::new("./main.c"))));
        assert!(!path.ends_with("ain.c"));
        assert_eq!(normal(Path::new("../a.c")), Path::new("../a.c"));
    }
}
