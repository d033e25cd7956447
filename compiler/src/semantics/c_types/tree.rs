//! The syntax tree of a C definition, nothing in it looked up yet.

use crate::syntax::ast::Span;

/// A name with its place.
#[derive(Clone, Debug)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

/// `typedef specifier a, *b;` or a specifier alone.
#[derive(Clone, Debug)]
pub enum Definition {
    Typedef { specifier: Specifier, declarators: Vec<Declarator>, attributes: Attributes },
    Standalone(Specifier),
}

/// What stands before the declarators: the type they all start from.
#[derive(Clone, Debug)]
pub struct Specifier {
    pub span: Span,
    pub kind: SpecifierKind,
    /// Attributes of what is declared, not of the type.
    pub attributes: Attributes,
    /// `__user` stands before the first pointer.
    pub user: bool,
}

#[derive(Clone, Debug)]
pub enum SpecifierKind {
    /// `unsigned long int`, in the order written.
    Base(Vec<String>),
    Named(String),
    Aggregate(Aggregate),
    Enumeration(Enumeration),
}

/// A structure or a union, perhaps with its members.
#[derive(Clone, Debug)]
pub struct Aggregate {
    pub is_union: bool,
    pub tag: Option<Name>,
    pub members: Option<Vec<Member>>,
    pub attributes: Attributes,
}

#[derive(Clone, Debug)]
pub struct Enumeration {
    pub tag: Option<Name>,
    pub enumerators: Option<Vec<Enumerator>>,
}

#[derive(Clone, Debug)]
pub struct Enumerator {
    pub name: Name,
    pub value: Option<Expression>,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub specifier: Specifier,
    pub declarators: Vec<MemberDeclarator>,
}

/// `*name[3]`, `name : 4` or `: 0`.
#[derive(Clone, Debug)]
pub struct MemberDeclarator {
    pub span: Span,
    pub declarator: Option<Declarator>,
    pub width: Option<Expression>,
    pub attributes: Attributes,
}

/// A name and what is made of the specifier's type for it, innermost first.
#[derive(Clone, Debug)]
pub struct Declarator {
    pub name: Name,
    pub shape: Vec<Shape>,
}

#[derive(Clone, Debug)]
pub enum Shape {
    Pointer {
        user: bool,
    },
    /// Without a length: a flexible array.
    Array(Option<Expression>),
    Function,
}

/// A type without a name: in casts and `sizeof`.
#[derive(Clone, Debug)]
pub struct TypeName {
    pub specifier: Specifier,
    pub shape: Vec<Shape>,
}

#[derive(Clone, Debug, Default)]
pub struct Attributes {
    pub packed: bool,
    pub aligned: Option<Expression>,
}

impl Attributes {
    pub fn merge(&mut self, other: Attributes) {
        self.packed |= other.packed;
        if other.aligned.is_some() {
            self.aligned = other.aligned;
        }
    }
}

/// A constant expression.
#[derive(Clone, Debug)]
pub struct Expression {
    pub span: Span,
    pub kind: Box<ExpressionKind>,
}

#[derive(Clone, Debug)]
pub enum ExpressionKind {
    Integer(i128),
    Name(String),
    Sizeof(TypeName),
    /// `defined(NAME)`
    Defined(String),
    Sign(char, Expression),
    Cast(TypeName, Expression),
    Binary(String, Expression, Expression),
    Conditional(Expression, Expression, Expression),
}

/// What `#define NAME` stands for.
#[derive(Clone, Debug)]
pub enum MacroBody {
    Text(String),
    Expression(Expression),
}
