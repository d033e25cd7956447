//! Types as C writes them, for listings.

use gimli::constants;

use super::reader::{TypeReader, is_structure};
use super::units::{Die, Entry};

const DEEPEST: u32 = 16;

impl TypeReader<'_> {
    /// `const char*`, `struct Foo*`, `unsigned long`; `None` is `void`.
    pub fn c_name(&self, ty: Option<&Die>) -> String {
        self.written(ty, 0)
    }

    fn written(&self, ty: Option<&Die>, depth: u32) -> String {
        let Some(die) = ty else { return "void".into() };
        let Some(entry) = die.entry().filter(|_| depth < DEEPEST && self.spend(1)) else { return "?".into() };
        let target = self.type_of(die, &entry);
        let inner = || self.written(target.as_ref(), depth + 1);
        match entry.tag() {
            constants::DW_TAG_pointer_type => self.pointer_name(target.as_ref(), "*", depth),
            constants::DW_TAG_reference_type => self.pointer_name(target.as_ref(), "&", depth),
            constants::DW_TAG_rvalue_reference_type => self.pointer_name(target.as_ref(), "&&", depth),
            constants::DW_TAG_const_type => self.qualified(target.as_ref(), "const", depth),
            constants::DW_TAG_volatile_type => self.qualified(target.as_ref(), "volatile", depth),
            constants::DW_TAG_restrict_type => format!("{} restrict", inner()),
            constants::DW_TAG_atomic_type => format!("_Atomic {}", inner()),
            constants::DW_TAG_array_type => format!("{}[]", inner()),
            constants::DW_TAG_subroutine_type => self.function(die, &entry, "", depth),
            constants::DW_TAG_enumeration_type => format!("enum {}", self.scoped(die, &entry)),
            constants::DW_TAG_union_type => format!("union {}", self.scoped(die, &entry)),
            _ if is_structure(&entry) => format!("struct {}", self.scoped(die, &entry)),
            _ => self.name(die, &entry).unwrap_or_else(|| "?".into()),
        }
    }

    fn pointer_name(&self, to: Option<&Die>, sign: &str, depth: u32) -> String {
        if let Some(to) = to
            && let Some(entry) = to.entry().filter(|entry| entry.tag() == constants::DW_TAG_subroutine_type)
        {
            return self.function(to, &entry, &format!("({sign})"), depth + 1);
        }
        format!("{}{sign}", self.written(to, depth + 1))
    }

    /// Before a type, but behind a pointer: `const char*`, `char* const`.
    fn qualified(&self, ty: Option<&Die>, word: &str, depth: u32) -> String {
        let name = self.written(ty, depth + 1);
        if name.ends_with(['*', '&']) { format!("{name} {word}") } else { format!("{word} {name}") }
    }

    /// `int (*)(int, char*)`
    fn function(&self, die: &Die, entry: &Entry, sign: &str, depth: u32) -> String {
        let result = self.written(self.type_of(die, entry).as_ref(), depth + 1);
        let mut parameters = Vec::new();
        die.each_child(|child| {
            match child.tag() {
                constants::DW_TAG_formal_parameter => {
                    parameters.push(self.written(self.type_of(die, child).as_ref(), depth + 1));
                }
                constants::DW_TAG_unspecified_parameters => parameters.push("...".into()),
                _ => {}
            }
            self.spend(1)
        });
        format!("{result} {sign}({})", parameters.join(", "))
    }

    fn scoped(&self, die: &Die, entry: &Entry) -> String {
        let qualified = die.unit.names(self.units()).qualified.get(&die.offset).cloned();
        qualified.or_else(|| self.name(die, entry)).unwrap_or_else(|| "<anonymous>".into())
    }
}
