//! Files made to hurt end in a diagnostic.

use std::fmt::Write;

use super::stage;

fn code(files: &[(&str, &[u8])]) -> String {
    match stage(files) {
        Ok(_) => "nothing wrong".to_owned(),
        Err(wrong) => wrong.list[0].code.number().to_owned(),
    }
}

#[test]
fn aliases_of_aliases() {
    let mut laughs = "x-a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..=9 {
        let row = vec![format!("*a{}", level - 1); 9].join(", ");
        let _ = writeln!(laughs, "x-a{level}: &a{level} [{row}]");
    }
    assert_eq!(code(&[("compose.yaml", laughs.as_bytes())]), "E0206");
    let mut merges = "x-m0: &m0 {a0: 1, b0: 2}\n".to_owned();
    for level in 1..=40 {
        let _ = writeln!(merges, "x-m{level}: &m{level} {{<<: [*m{0}, *m{0}], a{level}: {{<<: *m{0}}}}}", level - 1);
    }
    assert_eq!(code(&[("compose.yaml", merges.as_bytes())]), "E0206");
}

#[test]
fn deep_nesting() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), format!("a: {}", "[".repeat(190))] {
        assert!(code(&[("compose.yaml", text.as_bytes())]).starts_with("E02"));
    }
    let variable = format!("services: {{s: {{image: '{}x{}'}}}}", "${A:+".repeat(50_000), "}".repeat(50_000));
    assert_eq!(code(&[("compose.yaml", variable.as_bytes())]), "E0301");
}

#[test]
fn large_files() {
    let large = vec![b'a'; 100 << 20];
    assert_eq!(code(&[("compose.yaml", &large)]), "E0102");
    let many = format!("services: {{s: {{image: i, cap_add: [{}]}}}}", "a,".repeat(1_000_001));
    assert_eq!(code(&[("compose.yaml", many.as_bytes())]), "E0206");
    // Many different entries and many unset variables take no time that grows with their square.
    let names: String = (0..50_000).fold(String::new(), |mut all, n| {
        let _ = write!(all, "'${{U{n}}}{n}',");
        all
    });
    let file =
        format!("services: {{s: {{image: i, cap_add: [{names}], security_opt: [{names}], extra_hosts: [{names}]}}}}");
    assert_eq!(code(&[("compose.yaml", file.as_bytes())]), "E0601");
}

#[test]
fn circles_and_long_chains() {
    let include = b"include: [compose.yaml]\nservices: {s: {image: i}}\n";
    assert_eq!(code(&[("compose.yaml", include)]), "E0404");
    let extends =
        b"services: {a: {extends: {file: compose.yaml, service: b}}, b: {extends: {file: compose.yaml, service: a}}}\n";
    assert_eq!(code(&[("compose.yaml", extends)]), "E0403");
    let mut chain = "services:\n".to_owned();
    for n in 0..20_000 {
        let _ = writeln!(chain, "  s{n:05}: {{extends: s{:05}}}", n + 1);
    }
    chain.push_str("  s20000: {image: i}\n");
    assert_eq!(code(&[("compose.yaml", chain.as_bytes())]), "E0207");
    let files: Vec<(String, String)> = (0..200)
        .map(|n| {
            let name = if n == 0 { "compose.yaml".to_owned() } else { format!("i{n}.yaml") };
            (name, format!("include: [i{}.yaml]\nservices: {{s{n}: {{image: i}}}}\n", n + 1))
        })
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    assert_eq!(code(&files), "E0207");
}
