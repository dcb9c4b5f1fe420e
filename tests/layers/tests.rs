//! The checker itself, on small texts.

use super::paths::{Module, Name, Sources, code, test_modules};

fn name(path: &str) -> Name {
    path.split("::").map(str::to_owned).collect()
}

/// A crate of these files, each with its module path and its text.
fn sources(files: &[(&str, &str)]) -> Sources {
    let read = |(path, text): &(&str, &str)| (name(path), Module::read(text));
    Sources(files.iter().map(read).collect())
}

/// All that the module `a::b` names by this text, in a crate with some other modules.
fn named(text: &str) -> Vec<String> {
    let others = [
        ("a", "mod b;"),
        ("a::b::c", ""),
        ("x", ""),
        ("y", ""),
        ("y::z", ""),
    ];
    let sources = sources(&[&others[..], &[("a::b", text)]].concat());
    let named = sources.named(&name("a::b")).into_iter();
    named.map(|path| path.join("::")).collect()
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    for (text, expected) in [
        ("use crate::x;", &["x"][..]),
        ("use crate::{x, y};", &["x", "y"]),
        (
            "use crate::{\n    x::{self, One},\n    y::{z::Two, *},\n};",
            &["x", "x::One", "y", "y::z::Two"],
        ),
        (
            "use crate::x as other; fn f() { other::g(); }",
            &["x", "x::g"],
        ),
        ("use crate::y; fn f() { y::z::g(); }", &["y", "y::z::g"]),
        (
            "pub(crate) use crate::x::One; fn f() -> One {}",
            &["x::One"],
        ),
        (
            "fn f(x: &crate::x::One) -> crate::y::z::Two {}",
            &["x::One", "y::z::Two"],
        ),
        ("use super::d;", &["a::d"]),
        ("use super::super::x::One;", &["x::One"]),
        ("fn f() { super::super::x::g(); }", &["x::g"]),
        (
            "use self::c::One; fn f() { c::g(); self::super::d::g(); }",
            &["a::b::c::One", "a::b::c::g", "a::d::g"],
        ),
        ("format!(\"{}\", crate::x::NAME);", &["x::NAME"]),
        ("macro_rules! m { () => { $crate::x::g() } }", &["x::g"]),
        ("crate::x::log!(\"a\");", &["x::log"]),
        ("let a = \"http://host\"; crate::x::g();", &["x::g"]),
        (
            "impl crate::x::Trait for One<'_> { fn f<'a>() -> impl Sized + use<'a> {} }",
            &["x::Trait"],
        ),
        (
            "use std::fmt; use tokio::{io, net}; fn f() { io::copy(); fmt::write(); }",
            &[],
        ),
        ("use serde::serde;", &[]),
        (
            "pub(in crate::x) fn f() {} pub(in super::super) struct A;",
            &[],
        ),
        (
            "// use crate::x;\n/* crate::x::g() */ let a = \"crate::x::g()\";",
            &[],
        ),
        (
            "#[cfg(test)]\nmod tests {\n use crate::x; }\nuse crate::y;",
            &["y"],
        ),
        ("#[cfg(test)]\nuse crate::x;\nfn f() {}", &[]),
    ] {
        assert_eq!(named(text), expected, "{text}");
    }
}

#[test]
fn strings_and_characters_do_not_hide_what_follows() {
    for text in [
        r#"let a = '"'; crate::x"#,
        r##"let a = r#"a " b"#; crate::x"##,
        r#"let a = '\''; let b = "\""; crate::x"#,
        "fn f<'a>(a: &'a str) {} crate::x",
    ] {
        assert!(code(text).ends_with("crate::x"), "{text}: {}", code(text));
    }
}

#[test]
fn a_circle_is_found_through_imports_and_re_exports() {
    let circles = |files: &[(&str, &str)]| sources(files).circles(&name("a"));
    let pair = vec![vec![name("a::one"), name("a::two")]];
    for (one, two, expected) in [
        ("use super::two::Two;", "use super::one::One;", &pair),
        (
            "use super::two::Two;",
            "fn f() { crate::a::one::f(); }",
            &pair,
        ),
        // Through the re-exports of the module above.
        ("use super::Two;", "use crate::a::One;", &pair),
        ("use super::Two;", "", &Vec::new()),
    ] {
        let parent = "mod one; mod two; pub use one::One; pub use two::Two;";
        let files = [("a", parent), ("a::one", one), ("a::two", two)];
        assert_eq!(circles(&files), *expected, "{one} {two}");
    }
    // A module above that uses its child, which uses it in turn.
    let files = [
        ("a", "mod one; use one::One; struct A(One);"),
        ("a::one", "use super::A;"),
    ];
    assert_eq!(circles(&files), [[name("a"), name("a::one")]]);
    // Circles of other modules are theirs.
    let files = [("a", "use crate::b::B;"), ("b", "use crate::a::A;")];
    assert!(circles(&files).is_empty());
}

#[test]
fn braces_of_an_import_are_taken_apart() {
    let module = Module::read("pub use a::{b as c, d::{self, *}};");
    let uses: Vec<(String, &str)> = module
        .uses()
        .iter()
        .map(|import| (import.path.join("::"), import.name.as_str()))
        .collect();
    let expected = [("a::b", "c"), ("a::d", "d"), ("a::d", "*")];
    assert_eq!(uses, expected.map(|(path, name)| (path.to_owned(), name)));
}

#[test]
fn modules_for_tests_only_are_known() {
    let text = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\npub(crate) mod c { mod d; }\n#[cfg(test)]\nuse e;";
    assert_eq!(Vec::from_iter(test_modules(text)), ["b", "c"]);
}
