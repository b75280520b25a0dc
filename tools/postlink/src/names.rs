//! The names that a trap's backtrace shows.

use walrus::Module;

/// Longest name kept: the path of a function without its type parameters.
const LONGEST: usize = 40;

/// Demangles function names and cuts them. A backtrace reads better for it, and
/// the name section is a third as large.
pub(crate) fn shorten(module: &mut Module) {
    for function in module.funcs.iter_mut() {
        if let Some(name) = &mut function.name {
            *name = short(name);
        }
    }
    module.name = None;
}

/// Drops all function names.
pub(crate) fn drop_all(module: &mut Module) {
    for function in module.funcs.iter_mut() {
        function.name = None;
    }
}

fn short(mangled: &str) -> String {
    let readable = format!("{:#}", rustc_demangle::demangle(mangled));
    let mut plain = String::new();
    let mut depth = 0_usize;
    let mut previous = ' ';
    for c in readable.chars() {
        match c {
            // `<T as Trait>::f` keeps what is in the brackets, `f::<T>` does not.
            '<' if !plain.is_empty() => depth += 1,
            '>' if depth > 0 && previous != '-' => depth -= 1,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
        previous = c;
    }
    // Every function of ours starts with it; it says nothing.
    let plain = plain
        .replace("::{{closure}}", "{}")
        .replace("meshpack_", "");
    let cut = plain.chars().count().saturating_sub(LONGEST);
    plain.chars().skip(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn names_are_readable_and_short() {
        for (mangled, name) in [
            (
                "_ZN12meshpack_sdk8matching5index10MatchIndex3new17h0ec77d89786ce4b5E",
                "sdk::matching::index::MatchIndex::new",
            ),
            (
                "_ZN12meshpack_sdk7runtime16Runtime$LT$F$GT$12on_configure28_$u7b$$u7b$closure$u7d$$u7d$17h00f8fc0bc2e870e7E",
                "sdk::runtime::Runtime::on_configure{}",
            ),
            ("proxy_on_tick", "proxy_on_tick"),
        ] {
            assert_eq!(short(mangled), name);
        }
    }
}
