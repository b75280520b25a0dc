//! One copy of functions that are the same.
//!
//! Generics and their drops are compiled once for each type, and many come out as the
//! same instructions. The linker keeps all of them; nothing here compares functions by
//! their address, which Rust does not promise to differ.

use std::collections::HashMap;

use anyhow::{Context, Result};
use walrus::ir::{VisitorMut, dfs_pre_order_mut};
use walrus::{ElementItems, FunctionId, FunctionKind, Module, TypeId};
use wasmparser::{Parser, Payload};

/// Sends every call and every table entry of a function to the first that is the same,
/// until no two are: functions that differ only in which copy they call become the same
/// in the next round. What is exported stays. Returns how many went.
pub(crate) fn fold(mut module: Module) -> Result<(Module, usize)> {
    let mut folded = 0;
    loop {
        // The order of functions in the file is that of a module just read.
        let bytes = module.emit_wasm();
        module = crate::read(&bytes).context("what was written cannot be read")?;
        let copies = copies(&module, &bytes)?;
        if copies.is_empty() {
            return Ok((module, folded));
        }
        folded += copies.len();
        redirect(&mut module, &copies);
    }
}

/// From each function that has an earlier twin to that.
fn copies(module: &Module, bytes: &[u8]) -> Result<HashMap<FunctionId, FunctionId>> {
    let own = module
        .funcs
        .iter()
        .filter(|function| matches!(function.kind, FunctionKind::Local(_)));
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CodeSectionEntry(body) = payload? {
            bodies.push(bytes.get(body.range()).context("a body outside the file")?);
        }
    }
    // What is exported stays, so it is the one that is kept.
    let (exported, others): (Vec<_>, Vec<_>) = own
        .zip(bodies)
        .partition(|(function, _)| module.exports.get_exported_func(function.id()).is_some());
    let mut kept: HashMap<(TypeId, &[u8]), FunctionId> = HashMap::new();
    for (function, body) in exported {
        kept.entry((function.ty(), body)).or_insert(function.id());
    }
    let mut copies = HashMap::new();
    for (function, body) in others {
        let twin = *kept.entry((function.ty(), body)).or_insert(function.id());
        if twin != function.id() {
            copies.insert(function.id(), twin);
        }
    }
    Ok(copies)
}

struct Redirect<'c>(&'c HashMap<FunctionId, FunctionId>);

impl VisitorMut for Redirect<'_> {
    fn visit_function_id_mut(&mut self, function: &mut FunctionId) {
        if let Some(kept) = self.0.get(function) {
            *function = *kept;
        }
    }
}

fn redirect(module: &mut Module, copies: &HashMap<FunctionId, FunctionId>) {
    for (_, function) in module.funcs.iter_local_mut() {
        let start = function.entry_block();
        dfs_pre_order_mut(&mut Redirect(copies), function, start);
    }
    for element in module.elements.iter_mut() {
        if let ElementItems::Functions(functions) = &mut element.items {
            for function in functions {
                Redirect(copies).visit_function_id_mut(function);
            }
        }
    }
    walrus::passes::gc::run(module);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use walrus::{ConstExpr, FunctionBuilder, FunctionId, Module, ModuleConfig, RefType, ValType};

    use super::fold;

    /// `leaf` functions that return a number; `caller`s that call one; a table of them.
    struct Sample(Module);

    impl Sample {
        fn new() -> Self {
            Self(Module::with_config(ModuleConfig::new()))
        }

        fn leaf(&mut self, value: i32) -> FunctionId {
            let mut builder = FunctionBuilder::new(&mut self.0.types, &[], &[ValType::I32]);
            builder.func_body().i32_const(value);
            builder.finish(vec![], &mut self.0.funcs)
        }

        fn caller(&mut self, callee: FunctionId) -> FunctionId {
            let mut builder = FunctionBuilder::new(&mut self.0.types, &[], &[ValType::I32]);
            builder.func_body().call(callee);
            builder.finish(vec![], &mut self.0.funcs)
        }

        /// Returns its argument: another type, and nothing in common with a leaf.
        fn same(&mut self) -> FunctionId {
            let types = [ValType::I32];
            let mut builder = FunctionBuilder::new(&mut self.0.types, &types, &types);
            let argument = self.0.locals.add(ValType::I32);
            builder.func_body().local_get(argument);
            builder.finish(vec![argument], &mut self.0.funcs)
        }

        fn table(&mut self, functions: Vec<FunctionId>) {
            let size = functions.len() as u64;
            let table = self
                .0
                .tables
                .add_local(false, size, Some(size), RefType::FUNCREF);
            let kind = walrus::ElementKind::Active {
                table,
                offset: ConstExpr::Value(walrus::ir::Value::I32(0)),
            };
            let items = walrus::ElementItems::Functions(functions);
            let element = self.0.elements.add(kind, items);
            self.0.tables.get_mut(table).elem_segments.insert(element);
            self.0.exports.add("table", table);
        }
    }

    fn entries(module: &Module) -> Vec<FunctionId> {
        let element = module.elements.iter().next().unwrap();
        let walrus::ElementItems::Functions(functions) = &element.items else {
            panic!("no functions");
        };
        functions.clone()
    }

    #[test]
    fn the_same_functions_become_one_and_so_do_their_callers() {
        let mut sample = Sample::new();
        let (one, two, other) = (sample.leaf(7), sample.leaf(7), sample.leaf(8));
        let callers = [one, two, other].map(|callee| sample.caller(callee));
        let same = [sample.same(), sample.same()];
        sample.table([&callers[..], &same].concat());
        sample.0.exports.add("two", two);
        let (module, folded) = fold(sample.0).unwrap();
        // A leaf, its caller, and one that returns its argument.
        let entries = entries(&module);
        assert_eq!(entries[0], entries[1]);
        assert_ne!(entries[0], entries[2]);
        assert_eq!(entries[3], entries[4]);
        assert_eq!(folded, 3);
        assert!(module.exports.get_func("two").is_ok());
    }

    #[test]
    fn functions_that_differ_stay_apart() {
        let mut sample = Sample::new();
        let leaves: Vec<FunctionId> = (0..50).map(|value| sample.leaf(value % 25)).collect();
        sample.table(leaves);
        let (module, folded) = fold(sample.0).unwrap();
        assert_eq!(folded, 25);
        let entries = entries(&module);
        let mut values: HashMap<FunctionId, Vec<usize>> = HashMap::new();
        for (place, function) in entries.into_iter().enumerate() {
            values.entry(function).or_default().push(place % 25);
        }
        assert_eq!(values.len(), 25);
        assert!(values.values().all(|places| places[0] == places[1]));
    }
}
