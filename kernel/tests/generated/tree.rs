//! A script as a tree of lines and blocks, so that a failing one can be made smaller.

/// A line, or a statement with blocks: `if (…) { … } else { … }` has two of them.
#[derive(Clone, Debug)]
pub enum Node {
    Line(String),
    /// What stands before each block, and the block.
    Blocks(Vec<(String, Vec<Node>)>),
}

impl Node {
    pub fn line(text: impl Into<String>) -> Node {
        Node::Line(text.into())
    }

    pub fn block(head: impl Into<String>, body: Vec<Node>) -> Node {
        Node::Blocks(vec![(head.into(), body)])
    }
}

/// The script's text, a node a line.
pub fn text(nodes: &[Node]) -> String {
    let mut out = String::new();
    write(nodes, 0, &mut out);
    out
}

fn write(nodes: &[Node], depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for node in nodes {
        match node {
            Node::Line(line) => out.push_str(&format!("{indent}{line}\n")),
            Node::Blocks(blocks) => {
                out.push_str(&indent);
                for (head, body) in blocks {
                    out.push_str(&format!("{head} {{\n"));
                    write(body, depth + 1, out);
                    out.push_str(&format!("{indent}}} "));
                }
                out.push('\n');
            }
        }
    }
}

/// The smallest script found that still fails: nodes are taken out, and blocks are replaced by what
/// is in them, as long as `fails` agrees and has not been asked `most` times.
pub fn shrink(mut nodes: Vec<Node>, most: usize, mut fails: impl FnMut(&str) -> bool) -> Vec<Node> {
    let mut asked = 0;
    loop {
        let before = asked;
        let mut smaller = false;
        for edit in [Edit::Remove, Edit::Unwrap, Edit::DropLast] {
            let mut at = 0;
            while let Some(candidate) = edited(&nodes, at, edit) {
                if asked == most {
                    return nodes;
                }
                asked += 1;
                if fails(&text(&candidate)) {
                    nodes = candidate;
                    smaller = true;
                } else {
                    at += 1;
                }
            }
        }
        if !smaller || asked == before {
            return nodes;
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Edit {
    Remove,
    /// Put a statement's blocks in its place.
    Unwrap,
    /// Leave `else` out.
    DropLast,
}

/// The script with an edit made at the `at`-th node that allows it, counted from the top.
fn edited(nodes: &[Node], at: usize, edit: Edit) -> Option<Vec<Node>> {
    let mut left = at;
    edit_below(nodes, &mut left, edit, 0)
}

fn edit_below(nodes: &[Node], left: &mut usize, edit: Edit, depth: usize) -> Option<Vec<Node>> {
    for (index, node) in nodes.iter().enumerate() {
        if let Some(replacement) = replacement(node, edit, depth) {
            if *left == 0 {
                let mut all = nodes.to_vec();
                all.splice(index..=index, replacement);
                return Some(all);
            }
            *left -= 1;
        }
        let Node::Blocks(blocks) = node else { continue };
        for (number, (head, body)) in blocks.iter().enumerate() {
            if let Some(body) = edit_below(body, left, edit, depth + 1) {
                let mut blocks = blocks.clone();
                blocks[number] = (head.clone(), body);
                let mut all = nodes.to_vec();
                all[index] = Node::Blocks(blocks);
                return Some(all);
            }
        }
    }
    None
}

/// What an edit makes of a node; none if it does not apply.
fn replacement(node: &Node, edit: Edit, depth: usize) -> Option<Vec<Node>> {
    match (edit, node) {
        (Edit::Remove, _) => Some(Vec::new()),
        (Edit::Unwrap, Node::Blocks(blocks)) if depth > 0 => {
            Some(blocks.iter().flat_map(|(_, body)| body.clone()).collect())
        }
        (Edit::DropLast, Node::Blocks(blocks)) if blocks.len() > 1 => {
            Some(vec![Node::Blocks(blocks[..blocks.len() - 1].to_vec())])
        }
        _ => None,
    }
}

#[test]
fn a_failing_script_is_made_as_small_as_it_can_be() {
    let inner = Node::Blocks(vec![
        ("if (a)".into(), vec![Node::line("x;"), Node::line("bad;")]),
        ("else".into(), vec![Node::line("y;")]),
    ]);
    let script = vec![Node::block("begin", vec![Node::line("z;"), inner]), Node::block("end", vec![])];
    let small = shrink(script, 1000, |text| text.contains("begin {") && text.contains("bad;"));
    assert_eq!(text(&small), "begin {\n  bad;\n} \n");
}
