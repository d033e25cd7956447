//! The syntax tree: what the parser makes of a script, every node with its span.
//!
//! Nothing here is resolved: an [`ExprKind::Identifier`] may be a builtin, a macro called without
//! parentheses or an enum constant; `semantics` decides.

use std::fmt;

/// Which text a span points into: the cell itself, an earlier cell, an imported file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A range of bytes in one source: `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    pub source: SourceId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// What has no place in any text, such as an option of the command line.
    pub const NOWHERE: Span = Span { source: SourceId(u32::MAX), start: 0, end: 0 };

    /// The smallest span that covers both (which lie in the same source).
    pub fn to(self, other: Span) -> Span {
        Span { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Whether it lies in `outer`, of the same source.
    pub fn is_within(self, outer: Span) -> bool {
        self.source == outer.source && self.start >= outer.start && self.end <= outer.end
    }
}

/// Identifies a node of the tree, unique within one script; macro expansion hands out fresh ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// A name with its place. Variables are named without `$`, maps without `@` (the anonymous map is
/// the empty name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    pub name: String,
    pub span: Span,
}

/// A whole script, in source order within each list.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub c_definitions: Vec<CDefinition>,
    pub config: Option<Config>,
    pub imports: Vec<Import>,
    pub items: Vec<Item>,
    /// One past the largest [`NodeId`] that was handed out.
    pub next_id: u32,
}

/// `#include`, `#define`, or a C type definition; the text is kept as written.
#[derive(Clone, Debug)]
pub struct CDefinition {
    pub span: Span,
    pub kind: CDefinitionKind,
    /// The whole definition as written.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CDefinitionKind {
    /// `#include`, `#define`, `#if` …: the directive's name without `#`.
    Preprocessor(String),
    Struct(String),
    Union(String),
    Enum(String),
    Typedef,
}

/// `config = { name=value; … }`
#[derive(Clone, Debug)]
pub struct Config {
    pub span: Span,
    pub entries: Vec<ConfigEntry>,
}

#[derive(Clone, Debug)]
pub struct ConfigEntry {
    pub span: Span,
    pub name: Ident,
    pub value: ConfigValue,
    pub value_span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigValue {
    Integer(u64),
    Word(String),
    String(String),
    Bool(bool),
}

/// `import "path";`
#[derive(Clone, Debug)]
pub struct Import {
    pub span: Span,
    pub path: String,
}

#[derive(Clone, Debug)]
pub enum Item {
    Probe(Probe),
    Macro(Macro),
    MapDeclaration(MapDeclaration),
    Subprogram(Subprogram),
}

/// `probe[,probe] /predicate/ { … }`
#[derive(Clone, Debug)]
pub struct Probe {
    pub span: Span,
    pub attach_points: Vec<AttachPoint>,
    pub predicate: Option<Expr>,
    pub body: Block,
}

/// One probe specification as written, cut at its unquoted colons:
/// `uprobe:"/bin/my app":main` has the parts `uprobe`, `/bin/my app`, `main`.
#[derive(Clone, Debug)]
pub struct AttachPoint {
    pub span: Span,
    /// `name=` before the provider.
    pub label: Option<Ident>,
    pub parts: Vec<AttachPart>,
    /// The text as written (quotes kept), for messages and the `probe` builtin.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPart {
    pub span: Span,
    /// Quotes removed. Positional parameters (`$1`) are kept as written and replaced later.
    pub text: String,
}

/// `macro name($variable, expression, @map) { … }`
#[derive(Clone, Debug)]
pub struct Macro {
    pub span: Span,
    pub name: Ident,
    pub parameters: Vec<MacroParameter>,
    pub body: Block,
}

#[derive(Clone, Debug)]
pub enum MacroParameter {
    Variable(Ident),
    Map(Ident),
    Expression(Ident),
}

/// `let @name = kind(max_entries);`
#[derive(Clone, Debug)]
pub struct MapDeclaration {
    pub span: Span,
    pub map: Ident,
    pub kind: Ident,
    pub max_entries: Option<Expr>,
}

/// `fn name($a: type, …) : type { … }`
#[derive(Clone, Debug)]
pub struct Subprogram {
    pub span: Span,
    pub name: Ident,
    pub parameters: Vec<(Ident, TypeName)>,
    pub returns: TypeName,
    pub body: Block,
}

/// Statements and, where a block is used as an expression, its last expression without `;`.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub span: Span,
    pub statements: Vec<Stmt>,
    pub result: Option<Box<Expr>>,
}

#[derive(Clone, Debug)]
pub struct Stmt {
    pub span: Span,
    pub kind: StmtKind,
}

#[derive(Clone, Debug)]
pub enum StmtKind {
    Expr(Expr),
    /// `_ = expression`
    Discard(Expr),
    /// `let $x`, `let $x: type`, `let $x = value`
    Let {
        id: NodeId,
        variable: Ident,
        type_name: Option<TypeName>,
        value: Option<Expr>,
    },
    /// `target op= value`; the target is a variable, a map, or (refused later) something else.
    Assign {
        target: Expr,
        operator: Option<BinaryOp>,
        value: Expr,
    },
    If {
        condition: Expr,
        then: Block,
        otherwise: Option<Block>,
    },
    While {
        condition: Expr,
        body: Block,
    },
    For {
        id: NodeId,
        variable: Ident,
        iterable: Iterable,
        body: Block,
    },
    Unroll {
        count: Expr,
        body: Block,
    },
    Block(Block),
    Break,
    Continue,
    Return(Option<Expr>),
    /// `import "path";` inside a block.
    Import(String),
}

/// What a `for` goes over.
#[derive(Clone, Debug)]
pub enum Iterable {
    /// `for ($kv : @map)`; anything but a bare map is refused later.
    Map(Expr),
    /// `for ($i : start..end)`
    Range(Expr, Expr),
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub id: NodeId,
    pub span: Span,
    pub kind: ExprKind,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A literal in any base, duration suffixes already multiplied out. `-1` is a negation.
    Integer(u64),
    /// Escapes already replaced; may hold any bytes that UTF-8 allows, `\x80` and up as that char.
    String(String),
    Bool(bool),
    Identifier(String),
    /// `$x`
    Variable(String),
    /// `@x` or `@x[key]`; several keys are one [`ExprKind::Tuple`].
    Map {
        name: String,
        key: Option<Box<Expr>>,
    },
    /// `$1`
    Positional(u32),
    /// `$#`
    PositionalCount,
    Call {
        name: Ident,
        arguments: Vec<TypeOrExpr>,
    },
    Sizeof(Box<TypeOrExpr>),
    Offsetof {
        of: Box<TypeOrExpr>,
        path: Vec<OffsetStep>,
    },
    Typeinfo(Box<TypeOrExpr>),
    Unary {
        operator: UnaryOp,
        operand: Box<Expr>,
    },
    /// `++x`, `x--`
    Step {
        target: Box<Expr>,
        increment: bool,
        prefix: bool,
    },
    Binary {
        operator: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `c ? a : b`; `c ?: b` has no middle.
    Ternary {
        condition: Box<Expr>,
        then: Option<Box<Expr>>,
        otherwise: Box<Expr>,
    },
    /// `if … { … } else { … }` used as a value.
    If {
        condition: Box<Expr>,
        then: Block,
        otherwise: Option<Block>,
    },
    /// `x.field`, `x->field`
    Field {
        object: Box<Expr>,
        field: Ident,
    },
    /// `x.0`
    TupleField {
        object: Box<Expr>,
        index: u32,
        index_span: Span,
    },
    Index {
        object: Box<Expr>,
        index: Box<Expr>,
    },
    Cast {
        to: TypeName,
        operand: Box<Expr>,
    },
    Tuple(Vec<Expr>),
    Record(Vec<(Ident, Expr)>),
    Block(Block),
    /// `comptime x`
    Comptime(Box<Expr>),
}

/// One step of `offsetof(struct Foo, a.b[2].c)`.
#[derive(Clone, Debug)]
pub enum OffsetStep {
    Field(Ident),
    Index(u64),
}

/// An argument that may be a type: `sizeof(uint32)`, `typeof(struct task_struct)` in a macro call.
#[derive(Clone, Debug)]
pub enum TypeOrExpr {
    Type(TypeName),
    Expr(Expr),
}

/// A type as written.
#[derive(Clone, Debug)]
pub struct TypeName {
    pub span: Span,
    pub kind: TypeNameKind,
}

#[derive(Clone, Debug)]
pub enum TypeNameKind {
    /// `uint32`, `string`, `pid_t`, `unsigned int` (words joined by one blank).
    Named(String),
    Struct(String),
    Union(String),
    Enum(String),
    Pointer(Box<TypeName>),
    /// `int32[4]`, `string[64]`, `int8[]`
    Array(Box<TypeName>, Option<Box<Expr>>),
    /// `typeof(expression or type)`
    Typeof(Box<TypeOrExpr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `!`
    Not,
    /// `~`
    Complement,
    /// `-`
    Negate,
    /// `*`
    Dereference,
    /// `&`
    AddressOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
}

impl BinaryOp {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Modulo => "%",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "^",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::And => "&&",
            BinaryOp::Or => "||",
        }
    }

    /// Whether the result is a truth value.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual)
    }
}

impl fmt::Display for BinaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}
