//! Checks a printf format against the types of its arguments.

use crate::types::Type;

/// What is wrong, and with which argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub argument: Option<usize>,
}

/// What one conversion takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Integer,
    Text,
    Pointer,
    Buffer,
}

/// Whether there is an argument of a fitting type for each conversion, and no more.
pub fn check(format: &str, arguments: &[Type]) -> Result<(), Problem> {
    let wanted = conversions(format)?;
    if wanted.len() != arguments.len() {
        let message =
            format!("not enough arguments for format string ({} expected, {} found)", wanted.len(), arguments.len());
        let message =
            if arguments.len() > wanted.len() { message.replacen("not enough", "too many", 1) } else { message };
        return Err(Problem { message, argument: None });
    }
    for (index, ((conversion, wants), ty)) in wanted.iter().zip(arguments).enumerate() {
        if !accepts(*wants, ty) {
            let message =
                format!("%{conversion} specifier expects a value of type {} ({ty} supplied)", name_of(*wants));
            return Err(Problem { message, argument: Some(index) });
        }
    }
    Ok(())
}

fn name_of(wants: Wants) -> &'static str {
    match wants {
        Wants::Integer => "integer",
        Wants::Text => "string",
        Wants::Pointer => "pointer",
        Wants::Buffer => "buffer",
    }
}

fn accepts(wants: Wants, ty: &Type) -> bool {
    match wants {
        Wants::Integer => ty.is_integer() || matches!(ty, Type::Bool | Type::Pointer { .. }),
        Wants::Pointer => ty.is_integer() || matches!(ty, Type::Pointer { .. }),
        Wants::Buffer => matches!(ty, Type::Buffer { .. }),
        // Everything that can be printed has a text.
        Wants::Text => *ty != Type::Void,
    }
}

/// The conversions of a format, in order.
fn conversions(format: &str) -> Result<Vec<(String, Wants)>, Problem> {
    let mut result = Vec::new();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            continue;
        }
        if rest.next_if_eq(&'%').is_some() {
            continue;
        }
        let mut text = String::new();
        while let Some(c) = rest.next_if(|c| "-+ #0123456789.'*hljztLq".contains(*c)) {
            text.push(c);
        }
        let Some(conversion) = rest.next() else {
            return Err(Problem { message: "the format ends inside a conversion".into(), argument: None });
        };
        text.push(conversion);
        let wants = match conversion {
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' | 'c' => Wants::Integer,
            's' => Wants::Text,
            'p' => Wants::Pointer,
            // `%gr`: allocation flags of the kernel.
            'g' if rest.next_if_eq(&'r').is_some() => {
                text.push('r');
                Wants::Integer
            }
            'r' => {
                if let Some(c) = rest.next_if(|c| "hx".contains(*c)) {
                    text.push(c);
                }
                Wants::Buffer
            }
            _ => {
                let message = format!("unknown conversion %{}", text.escape_debug());
                return Err(Problem { message, argument: None });
            }
        };
        result.push((text, wants));
    }
    Ok(result)
}

/// The text of a checked format with its arguments' texts in it; widths and the like do not count.
pub fn fill_in(format: &str, arguments: &[String]) -> String {
    let mut result = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' || rest.next_if_eq(&'%').is_some() {
            result.push(c);
            continue;
        }
        while rest.next_if(|c| "-+ #0123456789.'*hljztLq".contains(*c)).is_some() {}
        rest.next();
        result.push_str(arguments.next().map_or("", String::as_str));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_types_must_fit() {
        let text = Type::String { capacity: 4 };
        assert_eq!(check("%-5lld %s%%\n", &[Type::I64, text.clone()]), Ok(()));
        assert!(check("%d", &[]).is_err_and(|p| p.message.contains("1 expected, 0 found")));
        assert!(check("%d", &[text]).is_err_and(|p| p.argument == Some(0)));
        assert!(check("%rx", &[Type::Buffer { capacity: 8 }]).is_ok());
        assert!(check("%q", &[]).is_err());
    }
}
