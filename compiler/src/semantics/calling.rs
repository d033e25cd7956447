//! Where a function's parameters are as it is entered: registers, the stack, or memory elsewhere.

use crate::semantics::arch::{Registers, Structures};
use crate::user_info::{AtEntry, Parameter, Passing, UserPrototype, Word};

/// Where a parameter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In these registers, word by word: offsets into `struct pt_regs`.
    Registers(Vec<u32>),
    /// On the stack, so many bytes above the stack pointer.
    Stack(u32),
    /// At the address that is in this place.
    Behind(Box<Place>),
    /// In registers that programs cannot see: those of floating-point numbers.
    Hidden,
    /// Nowhere: it always has this value.
    Constant(i64),
    /// The compiler has optimised it away, or does not say where it is.
    Nowhere,
}

/// What is left while places are given out.
struct Left<'a> {
    registers: &'a Registers,
    /// How many of its argument registers are taken.
    taken: usize,
    /// How many more floating-point numbers go into registers.
    floats: u32,
    /// Bytes of the stack that are taken, from the first argument on.
    stack: u32,
}

/// The places of a function's parameters, in their order; `symbol` is its name. By the calling convention,
/// unless the compiler knew all callers: then debug information has to say where they are. What has been
/// optimised away may not be passed even where the convention holds, by callers that know that.
pub fn places(registers: &Registers, prototype: &UserPrototype, symbol: &str) -> Vec<Place> {
    let is_changed = prototype.is_called_otherwise || is_changed_copy(symbol);
    let parameters = prototype.parameters.iter().zip(by_convention(registers, prototype));
    parameters
        .map(|(parameter, conventional)| match (&parameter.at_entry, &conventional) {
            (_, Place::Hidden) => Place::Hidden,
            (AtEntry::Nowhere, _) => Place::Nowhere,
            _ if is_changed => said_place(registers, parameter).unwrap_or(Place::Nowhere),
            _ => conventional,
        })
        .collect()
}

/// Copies of functions that GCC makes for some of their callers have parameters of their own.
fn is_changed_copy(symbol: &str) -> bool {
    [".constprop.", ".isra.", ".part."].iter().any(|suffix| symbol.contains(suffix))
}

/// `None` if it is nowhere, or that place does not have the whole value.
fn said_place(registers: &Registers, parameter: &Parameter) -> Option<Place> {
    let register = |number: &u16| registers.dwarf.get(usize::from(*number)).copied();
    match &parameter.at_entry {
        AtEntry::Registers(numbers) if parameter.passing.size.div_ceil(8) as usize == numbers.len() => {
            Some(Place::Registers(numbers.iter().map(register).collect::<Option<_>>()?))
        }
        AtEntry::Stack(above) => Some(Place::Stack(registers.stack_arguments.checked_add(*above)?)),
        AtEntry::Behind(number) => Some(Place::Behind(Box::new(Place::Registers(vec![register(number)?])))),
        AtEntry::Constant(value) if !parameter.passing.is_composite && parameter.passing.size <= 8 => {
            Some(Place::Constant(*value))
        }
        _ => None,
    }
}

fn by_convention(registers: &Registers, prototype: &UserPrototype) -> Vec<Place> {
    let mut left = Left { registers, taken: 0, floats: registers.float_arguments, stack: 0 };
    let by_word = registers.structures == Structures::ByWord;
    if by_word && is_returned_in_memory(&prototype.result) {
        left.take_registers(1);
    }
    let parameters = prototype.parameters.iter().map(|parameter| &parameter.passing);
    parameters.map(|passing| if by_word { left.by_word(passing) } else { left.by_address(passing) }).collect()
}

fn is_returned_in_memory(result: &Passing) -> bool {
    result.by_reference || result.is_composite && (result.size > 16 || result.in_memory)
}

impl Left<'_> {
    fn by_word(&mut self, passing: &Passing) -> Place {
        if passing.by_reference {
            return Place::Behind(Box::new(self.address()));
        }
        if passing.in_memory || passing.size > 16 {
            return self.on_stack(passing);
        }
        let words = || passing.words.iter();
        let integers = words().filter(|word| **word == Word::Integer).count();
        let floats = words().filter(|word| **word == Word::Float).count() as u32;
        if integers > self.free() || floats > self.floats {
            return self.on_stack(passing);
        }
        self.floats -= floats;
        let taken = self.take_registers(integers);
        if floats > 0 { Place::Hidden } else { Place::Registers(taken) }
    }

    fn by_address(&mut self, passing: &Passing) -> Place {
        if passing.floats > 0 {
            if u32::from(passing.floats) <= self.floats {
                self.floats -= u32::from(passing.floats);
                return Place::Hidden;
            }
            self.floats = 0;
            return self.on_stack(passing);
        }
        if passing.by_reference || passing.is_composite && passing.size > 16 {
            return Place::Behind(Box::new(self.address()));
        }
        // Pairs start at an even register.
        if passing.align > 8 && !self.taken.is_multiple_of(2) {
            self.take_registers(1);
        }
        let wanted = passing.size.div_ceil(8) as usize;
        if wanted > self.free() {
            // What comes after a value that had to go to the stack goes there too.
            self.taken = self.registers.arguments.len();
            return self.on_stack(passing);
        }
        Place::Registers(self.take_registers(wanted))
    }

    /// A register with an address, or its place on the stack.
    fn address(&mut self) -> Place {
        match self.take_registers(1) {
            taken if taken.is_empty() => self.on_stack(&Passing { size: 8, align: 8, ..Passing::default() }),
            taken => Place::Registers(taken),
        }
    }

    fn free(&self) -> usize {
        self.registers.arguments.len().saturating_sub(self.taken)
    }

    fn take_registers(&mut self, count: usize) -> Vec<u32> {
        let taken: Vec<u32> = self.registers.arguments.iter().skip(self.taken).take(count).copied().collect();
        self.taken += taken.len();
        taken
    }

    fn on_stack(&mut self, passing: &Passing) -> Place {
        let padded = |size: u32, align: u32| size.checked_next_multiple_of(align).unwrap_or(u32::MAX);
        let at = padded(self.stack, passing.align.clamp(8, 16));
        self.stack = at.saturating_add(padded(passing.size.max(1), 8));
        Place::Stack(self.registers.stack_arguments.saturating_add(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::arch::{AARCH64, X86_64};
    use crate::types::Type;
    use Word::{Float, Integer, Nothing};

    fn int(size: u32) -> Passing {
        let words = [Integer, if size > 8 { Integer } else { Nothing }];
        Passing { size, align: size, words, ..Passing::default() }
    }

    fn float(size: u32) -> Passing {
        Passing { size, align: size, words: [Float, Nothing], floats: 1, ..Passing::default() }
    }

    fn structure(size: u32, words: [Word; 2]) -> Passing {
        Passing { size, align: 8, words, is_composite: true, ..Passing::default() }
    }

    fn placed(registers: &Registers, parameters: &[Passing], result: Passing) -> Vec<String> {
        let parameter = |passing: &Passing| Parameter {
            name: String::new(),
            ty: Type::U64,
            c_type: String::new(),
            passing: *passing,
            at_entry: AtEntry::default(),
        };
        let parameters = parameters.iter().map(parameter).collect();
        let prototype = UserPrototype { parameters, result, is_called_otherwise: false };
        places(registers, &prototype, "f").iter().map(|place| shown(registers, place)).collect()
    }

    fn shown(registers: &Registers, place: &Place) -> String {
        let name = |at: &u32| registers.offsets.iter().find(|(_, offset)| offset == at).map_or("?", |(name, _)| name);
        match place {
            Place::Registers(at) => at.iter().map(name).collect::<Vec<_>>().join("+"),
            Place::Stack(at) => format!("stack{at}"),
            Place::Behind(place) => format!("*{}", shown(registers, place)),
            Place::Hidden => "hidden".into(),
            Place::Constant(value) => format!("{value}"),
            Place::Nowhere => "nowhere".into(),
        }
    }

    const NONE: Passing = Passing {
        size: 0,
        align: 0,
        words: [Nothing; 2],
        floats: 0,
        is_composite: false,
        by_reference: false,
        in_memory: false,
    };

    #[test]
    fn integers_take_registers_then_the_stack() {
        let many = [int(4); 10];
        let x86 = ["di", "si", "dx", "cx", "r8", "r9", "stack8", "stack16", "stack24", "stack32"];
        assert_eq!(placed(&X86_64, &many, NONE), x86);
        let arm = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "stack0", "stack8"];
        assert_eq!(placed(&AARCH64, &many, NONE), arm);
    }

    #[test]
    fn floating_point_numbers_take_none_of_them() {
        let mixed = [int(8), float(8), int(8), float(4), int(1)];
        assert_eq!(placed(&X86_64, &mixed, NONE), ["di", "hidden", "si", "hidden", "dx"]);
        assert_eq!(placed(&AARCH64, &mixed, NONE), ["r0", "hidden", "r1", "hidden", "r2"]);
        let floats = [float(8); 9];
        assert_eq!(placed(&X86_64, &floats, NONE)[7..], ["hidden", "stack8"]);
        assert_eq!(placed(&AARCH64, &floats, NONE)[7..], ["hidden", "stack0"]);
    }

    #[test]
    fn small_structures_go_by_their_words() {
        let point = structure(16, [Integer, Integer]);
        let mixed = structure(16, [Float, Integer]);
        assert_eq!(placed(&X86_64, &[int(8), point, mixed], NONE), ["di", "si+dx", "hidden"]);
        assert_eq!(placed(&AARCH64, &[int(8), point, mixed], NONE), ["r0", "r1+r2", "r3+r4"]);
        let vector = Passing { floats: 4, ..structure(16, [Float, Float]) };
        assert_eq!(placed(&AARCH64, &[vector, int(8)], NONE), ["hidden", "r0"]);
        // What does not fit goes to the stack as a whole; smaller values still find registers, except
        // where what follows has to go there too.
        let six = [int(8), int(8), int(8), int(8), int(8), point, int(8)];
        assert_eq!(placed(&X86_64, &six, NONE)[5..], ["stack8", "r9"]);
        let eight = [int(8), int(8), int(8), int(8), int(8), int(8), int(8), point, int(8)];
        assert_eq!(placed(&AARCH64, &eight, NONE)[7..], ["stack0", "stack16"]);
    }

    /// As GCC writes it for a copy that leaves out the second of five parameters, and knows the third.
    #[test]
    fn debug_information_says_where_compilers_have_moved_parameters() {
        let parameter = |passing: Passing, at_entry: AtEntry| Parameter {
            name: String::new(),
            ty: Type::U64,
            c_type: String::new(),
            passing,
            at_entry,
        };
        let parameters = vec![
            parameter(int(8), AtEntry::Registers(vec![5])),
            parameter(int(8), AtEntry::Nowhere),
            parameter(int(4), AtEntry::Constant(7)),
            parameter(structure(16, [Integer, Integer]), AtEntry::Registers(vec![4, 1])),
            parameter(structure(16, [Integer, Integer]), AtEntry::Registers(vec![2])),
            parameter(structure(40, [Integer, Integer]), AtEntry::Stack(0)),
            parameter(structure(40, [Integer, Integer]), AtEntry::Behind(8)),
            parameter(float(8), AtEntry::Registers(vec![17])),
            parameter(int(8), AtEntry::Registers(vec![17])),
            parameter(int(8), AtEntry::Unsaid),
        ];
        let mut prototype = UserPrototype { parameters, ..UserPrototype::default() };
        let shown = |prototype: &UserPrototype, symbol: &str| {
            let places = places(&X86_64, prototype, symbol);
            places.iter().map(|place| shown(&X86_64, place)).collect::<Vec<_>>().join(" ")
        };
        let said = "di nowhere 7 si+dx nowhere stack8 *r8 hidden nowhere nowhere";
        assert_eq!(shown(&prototype, "f.constprop.0"), said);
        assert_eq!(shown(&prototype, "f.isra.0.cold"), said);
        assert!(shown(&prototype, "f").starts_with("di nowhere dx cx+r8 "));
        prototype.is_called_otherwise = true;
        assert_eq!(shown(&prototype, "f"), said);
    }

    /// Damaged debug information has such ones.
    #[test]
    fn sizes_beyond_all_bounds_do_no_harm() {
        let huge = structure(u32::MAX, [Integer, Integer]);
        assert_eq!(placed(&X86_64, &[huge, huge, int(8)], huge), ["stack8", "stack4294967295", "si"]);
        assert_eq!(placed(&AARCH64, &[huge, huge, int(8)], huge), ["*r0", "*r1", "r2"]);
    }

    #[test]
    fn large_structures_are_copied_or_pointed_to() {
        let large = structure(40, [Integer, Integer]);
        assert_eq!(placed(&X86_64, &[large, int(8), int(16)], NONE), ["stack8", "di", "si+dx"]);
        assert_eq!(placed(&AARCH64, &[large, int(8), int(16)], NONE), ["*r0", "r1", "r2+r3"]);
        let object = Passing { by_reference: true, ..structure(8, [Integer, Nothing]) };
        assert_eq!(placed(&X86_64, &[object, int(8)], NONE), ["*di", "si"]);
        assert_eq!(placed(&AARCH64, &[object, int(8)], NONE), ["*r0", "r1"]);
        let packed = Passing { in_memory: true, ..structure(9, [Integer, Integer]) };
        assert_eq!(placed(&X86_64, &[packed, int(8)], NONE), ["stack8", "di"]);
    }

    #[test]
    fn a_large_result_takes_a_register_where_the_convention_says_so() {
        let large = structure(40, [Integer, Integer]);
        assert_eq!(placed(&X86_64, &[int(8)], large), ["si"]);
        assert_eq!(placed(&AARCH64, &[int(8)], large), ["r0"]);
    }

    #[test]
    fn wide_integers_start_where_they_must() {
        assert_eq!(placed(&X86_64, &[int(8), int(16), int(8)], NONE), ["di", "si+dx", "cx"]);
        assert_eq!(placed(&AARCH64, &[int(8), int(16), int(8)], NONE), ["r0", "r2+r3", "r4"]);
        let stacked = [int(8), int(8), int(8), int(8), int(8), int(8), int(8), int(16)];
        assert_eq!(placed(&X86_64, &stacked, NONE)[6..], ["stack8", "stack24"]);
    }
}
