//! Puts a plan together as the compiler would: programs in its intermediate form, maps, events.

use probebook_compiler::codegen::{self, Options};
use probebook_compiler::diagnostics::Sources;
use probebook_compiler::ir::*;
use probebook_compiler::plan::*;
use probebook_compiler::syntax::ast::Span;
use probebook_compiler::types::Type;
use probebook_runtime::{Session, SessionOptions};

const CONTROL: MapIndex = MapIndex(0);
const EVENTS: MapIndex = MapIndex(1);
const COUNTERS: MapIndex = MapIndex(2);
/// `BPF_RB_NO_WAKEUP`
const NO_WAKEUP: i64 = 1;

/// A session, or `None` (and a word about it) without the privilege to trace.
pub fn session() -> Option<Session> {
    session_with(SessionOptions::default())
}

pub fn session_with(options: SessionOptions) -> Option<Session> {
    match probebook_runtime::loader::privilege::missing_privilege() {
        Some(missing) => {
            println!("skipped: needs root ({missing} is missing)");
            None
        }
        None => Some(Session::new(options).unwrap()),
    }
}

pub fn constant(ty: Scalar, value: i64) -> Expr {
    Expr::Const { ty, value }
}

pub fn word(value: i64) -> Expr {
    constant(Scalar::I64, value)
}

pub fn helper(id: Helper, arguments: Vec<Expr>) -> Expr {
    Expr::Helper { id, arguments, returns: Scalar::I64 }
}

pub fn binary(op: Op, left: Expr, right: Expr) -> Expr {
    Expr::Binary { op, left: Box::new(left), right: Box::new(right) }
}

pub fn offset(base: Expr, by: i64) -> Expr {
    Expr::Offset { base: Box::new(base), by: Box::new(word(by)) }
}

/// A plan in the making.
pub struct Script {
    pub plan: Plan,
    module: Module,
    sources: Sources,
}

/// A program in the making.
pub struct Body {
    vars: Vec<Scalar>,
    slots: Vec<SlotInfo>,
    pub statements: Vec<Stmt>,
}

impl Script {
    pub fn new() -> Script {
        let map =
            |role, kind, key_size, value_size, max_entries| MapPlan { role, kind, key_size, value_size, max_entries };
        let maps = vec![
            map(MapRole::Control, MapKind::Array, 4, Control::SIZE, 1),
            map(MapRole::Events, MapKind::RingBuffer, 0, 0, 0),
            map(MapRole::Counters, MapKind::Array, 4, 8, 1),
        ];
        let plan = Plan { maps, losses: vec![Loss::Event], ..Plan::default() };
        let mut sources = Sources::default();
        sources.add("test", "begin { }\n");
        Script { plan, module: Module { license: "GPL".into(), ..Module::default() }, sources }
    }

    pub fn event(&mut self, event: EventPlan) -> usize {
        self.plan.events.push(event);
        self.plan.events.len() - 1
    }

    /// `printf` to standard output.
    pub fn printf(&mut self, format: &str, arguments: Vec<Type>) -> usize {
        self.event(EventPlan::Printf { format: format.into(), arguments, stream: Stream::Stdout })
    }

    pub fn map(&mut self, plan: MapPlan) -> MapIndex {
        self.plan.maps.push(plan);
        MapIndex(self.plan.maps.len() as u32 - 1)
    }

    /// A map of the user's; `key_type` none is a scalar.
    pub fn user_map(&mut self, name: &str, kind: MapKind, key: Option<Type>, value: Type) -> MapIndex {
        let scalar_size = value.size().next_multiple_of(8) + 8;
        let (key_size, value_size, max_entries) = match &key {
            Some(key) => (key.size(), value.size(), 4096),
            None => (4, scalar_size, 1),
        };
        let user = UserMap { name: name.into(), key, value, span: Span::default() };
        self.map(MapPlan { role: MapRole::User(user), kind, key_size, value_size, max_entries })
    }

    /// Adds a program and a probe that runs it.
    pub fn probe(&mut self, name: &str, kind: ProgramKind, attach: Attach, body: Body) {
        let number = self.module.programs.len();
        let gate =
            Expr::Load { ty: Scalar::I32, address: Box::new(Expr::MapValue { map: CONTROL, offset: Control::GATE }) };
        let closed = binary(Op::Eq, gate, constant(Scalar::I32, 0));
        let mut statements =
            vec![Stmt::If { condition: closed, then: vec![Stmt::Return(None)], otherwise: Vec::new() }];
        statements.extend(body.statements);
        self.module.programs.push(Program {
            symbol: format!("probe_{number}"),
            kind,
            vars: body.vars,
            slots: body.slots,
            body: statements,
            default_return: 0,
        });
        self.plan.probes.push(ProbePlan { name: name.into(), span: Span::default(), attach, program: number });
    }

    pub fn begin(&mut self, body: Body) {
        self.probe("begin", ProgramKind::Run, Attach::Begin, body);
    }

    /// Generates code.
    pub fn plan(mut self) -> Plan {
        let scratch = codegen::place_slots(&mut self.module);
        assert_eq!(scratch, 0, "the programs of these tests are small");
        let object = codegen::generate(&self.module, &self.sources, &Options::default()).unwrap();
        self.plan.objects = object.files;
        self.plan.programs = object.programs;
        self.plan
    }
}

impl Body {
    pub fn new() -> Body {
        Body { vars: Vec::new(), slots: Vec::new(), statements: Vec::new() }
    }

    pub fn var(&mut self, ty: Scalar) -> Var {
        self.vars.push(ty);
        Var(self.vars.len() as u32 - 1)
    }

    pub fn slot(&mut self, size: u32) -> Slot {
        self.slots.push(SlotInfo { size, align: 8, scratch: None });
        Slot(self.slots.len() as u32 - 1)
    }

    pub fn store(&mut self, address: Expr, value: Expr) {
        self.statements.push(Stmt::Store { ty: Scalar::I64, address, value });
    }

    pub fn evaluate(&mut self, expr: Expr) {
        self.statements.push(Stmt::Evaluate(expr));
    }

    /// Sends an event with 64-bit arguments; what does not fit in is counted.
    pub fn send(&mut self, event: usize, arguments: Vec<Expr>) {
        let size = 8 + 8 * arguments.len() as u32;
        let slot = self.slot(size);
        self.store(Expr::Slot(slot), word(event as i64));
        for (index, argument) in arguments.into_iter().enumerate() {
            self.store(offset(Expr::Slot(slot), 8 + 8 * index as i64), argument);
        }
        self.output(slot, size);
    }

    /// Sends an event that lies in a slot already.
    pub fn output(&mut self, slot: Slot, size: u32) {
        let arguments = vec![Expr::Map(EVENTS), Expr::Slot(slot), word(i64::from(size)), word(NO_WAKEUP)];
        let sent = helper(Helper::RINGBUF_OUTPUT, arguments);
        let counter = Expr::MapValue { map: COUNTERS, offset: 0 };
        let count = vec![Stmt::AtomicAdd { ty: Scalar::I64, address: counter, value: word(1) }];
        let failed = binary(Op::Ne, sent, word(0));
        self.statements.push(Stmt::If { condition: failed, then: count, otherwise: Vec::new() });
    }

    /// `exit(code)`
    pub fn exit(&mut self, code: i64) {
        for (place, value) in [(Control::EXIT_CODE, code), (Control::EXIT, 1), (Control::GATE, 0)] {
            let address = Expr::MapValue { map: CONTROL, offset: place };
            self.statements.push(Stmt::Store { ty: Scalar::I32, address, value: constant(Scalar::I32, value) });
        }
    }

    /// `@map[key] += 1` for 64-bit keys and values, not atomically beyond one CPU.
    pub fn count(&mut self, map: MapIndex, key_value: Expr) {
        let (key, one) = (self.slot(8), self.slot(8));
        let found = self.var(Scalar::Pointer);
        self.store(Expr::Slot(key), key_value);
        self.store(Expr::Slot(one), word(1));
        let lookup = Expr::Helper {
            id: Helper::MAP_LOOKUP_ELEM,
            arguments: vec![Expr::Map(map), Expr::Slot(key)],
            returns: Scalar::Pointer,
        };
        self.statements.push(Stmt::Set(found, lookup));
        let update = helper(Helper::MAP_UPDATE_ELEM, vec![Expr::Map(map), Expr::Slot(key), Expr::Slot(one), word(0)]);
        self.statements.push(Stmt::If {
            condition: binary(Op::Ne, Expr::Var(found), constant(Scalar::Pointer, 0)),
            then: vec![Stmt::AtomicAdd { ty: Scalar::I64, address: Expr::Var(found), value: word(1) }],
            otherwise: vec![Stmt::Evaluate(update)],
        });
    }
}
