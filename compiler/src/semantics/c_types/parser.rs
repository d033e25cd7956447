//! From the text of a C definition to its tree.

use pest::Parser;
use pest::iterators::{Pair as PestPair, Pairs as PestPairs};
use pest::pratt_parser::{Assoc, Op, PrattParser};
use pest_derive::Parser;

use super::tree::*;
use crate::diagnostics::Diagnostic;
use crate::syntax::ast::Span;

#[derive(Parser)]
#[grammar = "semantics/c_types/c.pest"]
struct CParser;

type Pair<'i> = PestPair<'i, Rule>;
type Pairs<'i> = PestPairs<'i, Rule>;
/// `None` where the grammar and this builder disagree.
type Built<T> = Option<T>;

/// Brackets that may be open at once.
const DEEPEST: usize = 48;
/// Operands and operators of one expression: its tree is as deep as it is long.
const LONGEST_CHAIN: usize = 512;
/// Alternatives that an error names.
const MOST_ALTERNATIVES: usize = 4;

/// A piece of C and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    pub text: &'a str,
    /// The span of the whole text in its source.
    pub span: Span,
}

/// `struct …`, `union …`, `enum …` or `typedef …;`
pub fn definition(text: Text) -> Result<Definition, Diagnostic> {
    parse(text, Rule::definition, |builder, pair| {
        let mut inner = builder.parts(pair);
        let form = inner.next()?;
        match form.as_rule() {
            Rule::type_alias => builder.type_alias(form),
            _ => Some(Definition::Standalone(builder.specifier(builder.parts(form).next()?)?)),
        }
    })
}

/// What stands after `#define NAME`.
pub fn macro_value(text: Text) -> Result<MacroBody, Diagnostic> {
    parse(text, Rule::macro_value, |builder, pair| {
        let value = builder.parts(pair).next()?;
        match value.as_rule() {
            Rule::text => {
                Some(MacroBody::Text(value.into_inner().map(|part| unescape(unquoted(part.as_str()))).collect()))
            }
            _ => Some(MacroBody::Expression(builder.expression(value)?)),
        }
    })
}

/// A `#define`d name that stands for a type.
pub fn macro_type(text: Text) -> Result<TypeName, Diagnostic> {
    parse(text, Rule::macro_type, |builder, pair| builder.type_name(builder.parts(pair).next()?))
}

/// What stands after `#if`.
pub fn condition(text: Text) -> Result<Expression, Diagnostic> {
    parse(text, Rule::condition, |builder, pair| builder.expression(builder.parts(pair).next()?))
}

fn parse<'a, T>(
    text: Text<'a>,
    rule: Rule,
    build: impl FnOnce(&Builder, Pair<'a>) -> Built<T>,
) -> Result<T, Diagnostic> {
    if deepest_nesting(text.text) > DEEPEST {
        return Err(Diagnostic::error("nesting-too-deep", text.span, "this is nested too deeply"));
    }
    let mut pairs = CParser::parse(rule, text.text).map_err(|error| refused(text, &error))?;
    let builder = Builder { base: text.span };
    let built = pairs.next().and_then(|pair| build(&builder, pair));
    built.ok_or_else(|| {
        Diagnostic::error("c-syntax", text.span, "a constant here is too large, too long, or cannot be read")
    })
}

fn deepest_nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'?' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn refused(text: Text, error: &pest::error::Error<Rule>) -> Diagnostic {
    let at = match error.location {
        pest::error::InputLocation::Pos(at) | pest::error::InputLocation::Span((at, _)) => at,
    };
    let rest = text.text.get(at..).unwrap_or_default();
    let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let length = if length == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { length };
    let start = text.span.start + at as u32;
    let span = Span { start, end: start + length as u32, ..text.span };
    let found = match rest.get(..length) {
        None | Some("") => "the end".to_string(),
        Some(word) => format!("`{}`", word.escape_debug()),
    };
    let mut expected: Vec<&str> = Vec::new();
    if let pest::error::ErrorVariant::ParsingError { positives, .. } = &error.variant {
        for rule in positives {
            if let Some(word) = spoken(*rule).filter(|word| !expected.contains(word)) {
                expected.push(word);
            }
        }
    }
    let message = if expected.is_empty() || expected.len() > MOST_ALTERNATIVES {
        format!("this C definition cannot be read: {found} is not expected here")
    } else {
        format!("this C definition cannot be read: expected {}, found {found}", expected.join(" or "))
    };
    Diagnostic::error("c-syntax", span, message)
}

/// What users call a part of the grammar.
fn spoken(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::identifier | Rule::word => "a name",
        Rule::declarator | Rule::member_declarator => "a name",
        Rule::specifier | Rule::base | Rule::base_word | Rule::named | Rule::aggregate | Rule::type_name => "a type",
        Rule::expression | Rule::chain | Rule::operand | Rule::integer => "a constant",
        Rule::body | Rule::member => "a member",
        Rule::enumerator | Rule::enumerators => "an enumerator",
        Rule::or | Rule::and | Rule::equal | Rule::shift | Rule::relation => "an operator",
        Rule::bit_or | Rule::bit_xor | Rule::bit_and | Rule::sum | Rule::product => "an operator",
        Rule::text | Rule::string => "a string",
        _ => return None,
    })
}

/// Makes the tree; spans are counted from where the text lies in its source.
struct Builder {
    base: Span,
}

impl Builder {
    fn span(&self, pair: &Pair) -> Span {
        let span = pair.as_span();
        let start = self.base.start + span.start() as u32;
        // A rule's end may lie behind layout.
        let length = pair.as_str().trim_end().len() as u32;
        Span { start, end: start + length, ..self.base }
    }

    /// A rule's parts without its keywords.
    fn parts<'i>(&self, pair: Pair<'i>) -> impl Iterator<Item = Pair<'i>> + use<'i> {
        pair.into_inner().filter(|part| {
            let keywords =
                [Rule::kw_typedef, Rule::kw_enum, Rule::kw_sizeof, Rule::kw_defined, Rule::kw_attribute, Rule::EOI];
            !keywords.contains(&part.as_rule())
        })
    }

    fn name(&self, pair: &Pair) -> Name {
        Name { text: pair.as_str().to_owned(), span: self.span(pair) }
    }

    fn type_alias(&self, pair: Pair) -> Built<Definition> {
        let mut specifier = None;
        let mut declarators = Vec::new();
        let mut attributes = Attributes::default();
        for part in self.parts(pair) {
            match part.as_rule() {
                Rule::specifier => specifier = Some(self.specifier(part)?),
                Rule::declarator => declarators.push(self.declarator(part)?),
                _ => attributes.merge(self.attribute(part)?),
            }
        }
        Some(Definition::Typedef { specifier: specifier?, declarators, attributes })
    }

    fn specifier(&self, pair: Pair) -> Built<Specifier> {
        let span = self.span(&pair);
        let mut kind = None;
        let mut attributes = Attributes::default();
        let mut user = false;
        for part in self.parts(pair) {
            match part.as_rule() {
                Rule::qualifier => user |= part.as_str() == "__user",
                Rule::attribute => attributes.merge(self.attribute(part)?),
                Rule::base => {
                    let words = part.into_inner().filter(|word| word.as_rule() == Rule::base_word);
                    kind = Some(SpecifierKind::Base(words.map(|word| word.as_str().to_owned()).collect()));
                }
                Rule::named => kind = Some(SpecifierKind::Named(part.as_str().trim().to_owned())),
                Rule::aggregate => kind = Some(SpecifierKind::Aggregate(self.aggregate(part)?)),
                _ => kind = Some(SpecifierKind::Enumeration(self.enumeration(part)?)),
            }
        }
        Some(Specifier { span, kind: kind?, attributes, user })
    }

    fn aggregate(&self, pair: Pair) -> Built<Aggregate> {
        let mut result = Aggregate { is_union: false, tag: None, members: None, attributes: Attributes::default() };
        for part in self.parts(pair) {
            match part.as_rule() {
                Rule::kind => result.is_union = part.as_str() == "union",
                Rule::identifier => result.tag = Some(self.name(&part)),
                Rule::body => {
                    result.members = Some(self.parts(part).map(|member| self.member(member)).collect::<Built<_>>()?)
                }
                _ => result.attributes.merge(self.attribute(part)?),
            }
        }
        Some(result)
    }

    fn member(&self, pair: Pair) -> Built<Member> {
        let mut parts = self.parts(pair);
        let specifier = self.specifier(parts.next()?)?;
        let declarators = parts.map(|part| self.member_declarator(part)).collect::<Built<_>>()?;
        Some(Member { specifier, declarators })
    }

    fn member_declarator(&self, pair: Pair) -> Built<MemberDeclarator> {
        let span = self.span(&pair);
        let mut result = MemberDeclarator { span, declarator: None, width: None, attributes: Attributes::default() };
        for part in self.parts(pair) {
            match part.as_rule() {
                Rule::declarator => result.declarator = Some(self.declarator(part)?),
                Rule::expression => result.width = Some(self.expression(part)?),
                _ => result.attributes.merge(self.attribute(part)?),
            }
        }
        Some(result)
    }

    /// Pointers bind looser than what stands behind the name, and parentheses turn that round.
    fn declarator(&self, pair: Pair) -> Built<Declarator> {
        let mut shape = Vec::new();
        let mut suffixes = Vec::new();
        let mut name = None;
        let mut inner = Vec::new();
        for part in self.parts(pair) {
            match part.as_rule() {
                Rule::pointer => shape.push(self.pointer(part)),
                Rule::array => suffixes.push(self.array(part)?),
                Rule::parameters => suffixes.push(Shape::Function),
                Rule::identifier => name = Some(self.name(&part)),
                Rule::declarator => {
                    let nested = self.declarator(part)?;
                    name = Some(nested.name);
                    inner = nested.shape;
                }
                _ => {}
            }
        }
        shape.extend(suffixes.into_iter().rev());
        shape.extend(inner);
        Some(Declarator { name: name?, shape })
    }

    fn pointer(&self, pair: Pair) -> Shape {
        let user = pair.into_inner().any(|part| part.as_str() == "__user");
        Shape::Pointer { user }
    }

    fn array(&self, pair: Pair) -> Built<Shape> {
        let length = self.parts(pair).next().map(|length| self.expression(length));
        match length {
            None => Some(Shape::Array(None)),
            Some(length) => Some(Shape::Array(Some(length?))),
        }
    }

    fn type_name(&self, pair: Pair) -> Built<TypeName> {
        let mut parts = self.parts(pair);
        let specifier = self.specifier(parts.next()?)?;
        let mut shape = Vec::new();
        let mut suffixes = Vec::new();
        for part in parts {
            match part.as_rule() {
                Rule::pointer => shape.push(self.pointer(part)),
                _ => suffixes.push(self.array(part)?),
            }
        }
        shape.extend(suffixes.into_iter().rev());
        Some(TypeName { specifier, shape })
    }

    fn enumeration(&self, pair: Pair) -> Built<Enumeration> {
        let mut result = Enumeration { tag: None, enumerators: None };
        for part in self.parts(pair) {
            match part.as_rule() {
                Rule::identifier => result.tag = Some(self.name(&part)),
                Rule::enumerators => {
                    result.enumerators =
                        Some(self.parts(part).map(|item| self.enumerator(item)).collect::<Built<_>>()?);
                }
                _ => {}
            }
        }
        Some(result)
    }

    fn enumerator(&self, pair: Pair) -> Built<Enumerator> {
        let mut parts = self.parts(pair);
        let name = self.name(&parts.next()?);
        let value = parts.find(|part| part.as_rule() == Rule::expression);
        let value = match value {
            Some(value) => Some(self.expression(value)?),
            None => None,
        };
        Some(Enumerator { name, value })
    }

    /// Of all attributes those that change where things lie.
    fn attribute(&self, pair: Pair) -> Built<Attributes> {
        let mut attributes = Attributes::default();
        for item in self.parts(pair) {
            if item.as_rule() == Rule::kw_packed {
                attributes.packed = true;
                continue;
            }
            let span = self.span(&item);
            let mut inner = self.parts(item);
            let word = inner.next()?;
            match word.as_str() {
                "packed" | "__packed__" => attributes.packed = true,
                "aligned" | "__aligned__" => {
                    attributes.aligned = Some(match inner.next() {
                        Some(value) => self.expression(value)?,
                        // The most that any type needs on x86-64 and arm64.
                        None => Expression { span, kind: Box::new(ExpressionKind::Integer(16)) },
                    });
                }
                _ => {}
            }
        }
        Some(attributes)
    }

    fn expression(&self, pair: Pair) -> Built<Expression> {
        let span = self.span(&pair);
        let mut parts = self.parts(pair);
        let chain = self.chain(parts.next()?.into_inner())?;
        let (Some(then), Some(otherwise)) = (parts.next(), parts.next()) else { return Some(chain) };
        let kind = ExpressionKind::Conditional(chain, self.expression(then)?, self.expression(otherwise)?);
        Some(Expression { span, kind: Box::new(kind) })
    }

    fn chain(&self, pairs: Pairs) -> Built<Expression> {
        if pairs.clone().count() > LONGEST_CHAIN {
            return None;
        }
        precedence()
            .map_primary(|operand| self.operand(operand))
            .map_infix(|left: Built<Expression>, operator, right: Built<Expression>| {
                let (left, right) = (left?, right?);
                let span = left.span.to(right.span);
                let kind = ExpressionKind::Binary(operator.as_str().to_owned(), left, right);
                Some(Expression { span, kind: Box::new(kind) })
            })
            .parse(pairs)
    }

    fn operand(&self, pair: Pair) -> Built<Expression> {
        let span = self.span(&pair);
        let mut prefixes = Vec::new();
        let mut value = None;
        for part in self.parts(pair) {
            let place = self.span(&part);
            let kind = match part.as_rule() {
                Rule::cast | Rule::sign => {
                    prefixes.push(part);
                    continue;
                }
                Rule::sizeof => ExpressionKind::Sizeof(self.type_name(self.parts(part).next()?)?),
                Rule::defined => ExpressionKind::Defined(self.parts(part).next()?.as_str().to_owned()),
                Rule::integer => ExpressionKind::Integer(integer(part.as_str())?),
                Rule::character => ExpressionKind::Integer(character(part.as_str())?),
                Rule::identifier => ExpressionKind::Name(part.as_str().to_owned()),
                _ => {
                    value = Some(self.expression(part)?);
                    continue;
                }
            };
            value = Some(Expression { span: place, kind: Box::new(kind) });
        }
        let mut value = value?;
        if prefixes.len() > DEEPEST {
            return None;
        }
        for prefix in prefixes.into_iter().rev() {
            let kind = match prefix.as_rule() {
                Rule::cast => {
                    let name = self.parts(prefix).find(|part| part.as_rule() == Rule::type_name)?;
                    ExpressionKind::Cast(self.type_name(name)?, value)
                }
                _ => ExpressionKind::Sign(prefix.as_str().chars().next()?, value),
            };
            value = Expression { span, kind: Box::new(kind) };
        }
        Some(value)
    }
}

/// C's binary operators, loosest first.
fn precedence() -> PrattParser<Rule> {
    let left = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::or))
        .op(left(Rule::and))
        .op(left(Rule::bit_or))
        .op(left(Rule::bit_xor))
        .op(left(Rule::bit_and))
        .op(left(Rule::equal))
        .op(left(Rule::relation))
        .op(left(Rule::shift))
        .op(left(Rule::sum))
        .op(left(Rule::product))
}

/// Decimal, octal, hexadecimal or binary, with C's suffixes.
fn integer(text: &str) -> Option<i128> {
    let lower = text.to_ascii_lowercase();
    let hexadecimal = lower.strip_prefix("0x");
    let digits = lower.trim_end_matches(['u', 'l']);
    let value = if let Some(digits) = hexadecimal {
        u64::from_str_radix(digits.trim_end_matches(['u', 'l']), 16)
    } else if let Some(digits) = digits.strip_prefix("0b") {
        u64::from_str_radix(digits, 2)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    value.ok().map(i128::from)
}

/// `'a'`, `'\n'`, `'\x1b'`
fn character(text: &str) -> Option<i128> {
    let inner = unescape(unquoted(text));
    let mut characters = inner.chars();
    let value = characters.next()? as i128;
    characters.next().is_none().then_some(value)
}

fn unquoted(text: &str) -> &str {
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

/// Replaces C's escapes; a byte from 0x80 on becomes the character of that number.
fn unescape(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '\\' {
            result.push(character);
            continue;
        }
        let Some(escape) = rest.next() else { break };
        let (radix, mut value, most) = match escape {
            'x' => (16, 0, 2),
            '0'..='7' => (8, escape.to_digit(8).unwrap_or(0), 2),
            _ => {
                result.push(simple_escape(escape));
                continue;
            }
        };
        for _ in 0..most {
            let Some(digit) = rest.peek().and_then(|next| next.to_digit(radix)) else { break };
            value = value * radix + digit;
            rest.next();
        }
        result.push(char::from((value & 0xff) as u8));
    }
    result
}

fn simple_escape(escape: char) -> char {
    match escape {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\x07',
        'b' => '\x08',
        'v' => '\x0b',
        'f' => '\x0c',
        other => other,
    }
}
