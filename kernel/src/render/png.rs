//! Pictures as PNG, for viewers that do not show SVG from notebooks that they do not trust.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Sans-serif fonts in the order of preference, each with its bold face: first found, first used.
const FONTS: [(&str, &str); 6] = [
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    ("Roboto-Regular.ttf", "Roboto-Bold.ttf"),
    ("OpenSans-Regular.ttf", "OpenSans-Bold.ttf"),
    ("FreeSans.ttf", "FreeSansBold.ttf"),
];
const FONT_DIRECTORIES: [&str; 2] = ["/usr/share/fonts", "/usr/local/share/fonts"];
/// Font directories are shallow; this ends the search in one that links to itself.
const MAX_DEPTH: usize = 4;

/// The picture as a PNG image; `None` if this machine has no font to write its text with.
pub fn png(svg: &str) -> Option<Vec<u8>> {
    static FONT: OnceLock<Option<Arc<fontdb::Database>>> = OnceLock::new();
    let fonts = FONT.get_or_init(load_fonts).clone()?;
    let options = Options { fontdb: fonts, ..Options::default() };
    let tree = Tree::from_str(svg, &options).ok()?;
    let size = tree.size().to_int_size();
    let mut pixels = Pixmap::new(size.width(), size.height())?;
    resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
    pixels.encode_png().ok()
}

fn load_fonts() -> Option<Arc<fontdb::Database>> {
    let mut files = Vec::new();
    for directory in FONT_DIRECTORIES {
        find_fonts(Path::new(directory), MAX_DEPTH, &mut files);
    }
    let named = |name: &str| files.iter().find(|file| file.file_name() == Some(name.as_ref()));
    let (regular, bold) = FONTS.iter().find_map(|(r, b)| Some((named(r)?, named(b))))?;
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(std::fs::read(regular).ok()?);
    if let Some(data) = bold.and_then(|bold| std::fs::read(bold).ok()) {
        fonts.load_font_data(data);
    }
    let family = fonts.faces().next()?.families.first()?.0.clone();
    fonts.set_sans_serif_family(family);
    Some(Arc::new(fonts))
}

fn find_fonts(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && depth > 0 {
            find_fonts(&path, depth - 1, found);
        } else if path.extension().is_some_and(|extension| extension == "ttf") {
            found.push(path);
        }
    }
}
