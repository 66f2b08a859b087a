//! Gives every value its final type and drops what says nothing: the tree that `config` prints and the model is made of.

use super::attributes::{Form, Keys, Out, Shape, takes};
use super::node::{Kind, Map, Node};
use super::{scalar, units, words};
use crate::diag::{Code, Diagnostic};

/// Types a tree along the table.
pub fn finish(node: &mut Node, shape: &Shape, diags: &mut Vec<Diagnostic>) {
    if shape.out == Out::Command {
        warn_of_shell(node, diags);
    }
    if shape.out == Out::Bytes {
        drop_fraction(node, shape, diags);
    }
    if let Err(problem) = convert(node, shape.out) {
        diags.push(Diagnostic::new(Code::BadValue, problem).at(node.span, ""));
        return;
    }
    if matches!(shape.out, Out::TextMap | Out::EnvMap | Out::ListMap | Out::Hosts | Out::Command) {
        return;
    }
    match &mut node.kind {
        Kind::Map(map) => match shape.keys {
            Keys::No => {}
            Keys::Own(value) => {
                for node in map.values_mut() {
                    if node.is_null() && value.form == Form::External {
                        node.kind = Kind::Map(Map::new());
                    }
                    finish(node, value, diags);
                }
            }
            Keys::Fields(_) => fields(map, shape, diags),
        },
        Kind::List(list) => {
            if let Some(items) = shape.items {
                list.iter_mut().for_each(|item| finish(item, items, diags));
            }
        }
        _ => {}
    }
}

/// No shell reads a command that is written as text; what only a shell understands is lost, so it is told.
fn warn_of_shell(node: &Node, diags: &mut Vec<Diagnostic>) {
    let Some(Ok(words)) = node.as_str().map(words::split) else { return };
    if !words.rest.is_empty() {
        diags.push(
            Diagnostic::new(
                Code::NoShell,
                format!("`{}` and what follows is dropped: no shell reads a command", words.rest.trim()),
            )
            .at(node.span, "")
            .help("write [\"sh\", \"-c\", \"…\"] to have a shell run it"),
        );
    }
}

/// A size that is a number with a point is none to the peer: no limit is left of it.
fn drop_fraction(node: &mut Node, shape: &Shape, diags: &mut Vec<Diagnostic>) {
    let Kind::Float(number) = node.kind else { return };
    // Where only whole numbers are taken it has been told.
    if shape.scalars & takes::NUM == 0 && number.fract() != 0.0 {
        return;
    }
    let text = scalar::float_text(number);
    let help = match number.fract() == 0.0 {
        true => format!("write it without the point: {text}"),
        false => format!("give it a unit, as `{text}m`, or write whole bytes"),
    };
    diags.push(
        Diagnostic::new(Code::LeftOut, format!("the size {text} is left out: a number without a unit has no point"))
            .at(node.span, "")
            .help(help),
    );
    node.kind = Kind::Int(0);
}

fn fields(map: &mut Map, shape: &Shape, diags: &mut Vec<Diagnostic>) {
    for (key, value) in map.iter_mut() {
        if let Some(row) = shape.field(key) {
            finish(value, row, diags);
        }
    }
    map.retain(|key, value| match shape.field(key) {
        _ if key.starts_with("x-") => !shape.open,
        Some(row) => !(value.is_null() || !row.keep && is_empty(value)),
        None => !shape.open,
    });
    if let (Keys::Fields(fields), true) = (shape.keys, shape.filled) {
        for (key, row) in fields {
            map.entry((*key).to_owned()).or_insert_with(|| Node { kind: nothing(row.out), ..Node::default() });
        }
    }
}

/// What stands for a field that nobody wrote.
fn nothing(out: Out) -> Kind {
    match out {
        Out::Int | Out::Count => Kind::Int(0),
        Out::Bytes => Kind::Str("0".to_owned()),
        _ => Kind::Str(String::new()),
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.kind {
        Kind::Null | Kind::Bool(false) | Kind::Int(0) => true,
        Kind::Float(f) => *f == 0.0,
        Kind::Str(text) => text.is_empty(),
        Kind::List(list) => list.is_empty(),
        Kind::Map(map) => map.is_empty(),
        _ => false,
    }
}

fn convert(node: &mut Node, out: Out) -> Result<(), String> {
    match out {
        Out::Text if node.is_null() => node.kind = Kind::Str(String::new()),
        _ if node.is_null() => {}
        Out::As | Out::Hidden => {}
        Out::Text => plain_text(node)?,
        Out::Bool => {
            if let Kind::Str(text) = &node.kind {
                node.kind = Kind::Bool(scalar::boolean(text).ok_or_else(|| format!("`{text}` is not true or false"))?);
            }
        }
        Out::Int => int(node)?,
        Out::Count => count(node)?,
        Out::CountOrAll => count_or_all(node)?,
        Out::Float => float(node)?,
        Out::Bytes => bytes(node)?,
        Out::Duration => {
            if let Kind::Str(text) = &node.kind {
                node.kind = Kind::Str(units::duration_text(units::duration(text)?));
            }
        }
        Out::Mode => mode(node)?,
        Out::Ulimit => {
            if matches!(node.kind, Kind::Str(_)) {
                int(node)?;
            }
            // The peer knows no single number but by its not being zero.
            if node.kind == Kind::Int(0) {
                let zero = |name: &str| (name.to_owned(), Node::like(node, Kind::Int(0)));
                node.kind = Kind::Map([zero("soft"), zero("hard")].into_iter().collect());
            }
        }
        Out::Command => command(node)?,
        Out::HealthTest => {
            if let Kind::Str(text) = &node.kind {
                let list = vec![Node::text_like(node, "CMD-SHELL"), Node::text_like(node, text.clone())];
                node.kind = Kind::List(list);
            }
        }
        Out::TextMap => text_map(node, true),
        Out::EnvMap => text_map(node, false),
        Out::ListMap => {
            if let Kind::Map(map) = &mut node.kind {
                map.values_mut().for_each(text_list);
            }
        }
        // Numbers with a point are the items' to refuse.
        Out::TextList if has_fraction(node) => {}
        Out::TextList => text_list(node),
        Out::Hosts => hosts(node)?,
        Out::Ssh => {
            if let Kind::Map(map) = &node.kind {
                let line = |(key, value): (&String, &Node)| match scalar::text(&value.kind) {
                    Some(path) => Node::text_like(value, format!("{key}: {path}")),
                    None => Node::text_like(value, key.clone()),
                };
                node.kind = Kind::List(map.iter().map(line).collect());
            }
        }
    }
    Ok(())
}

/// A scalar as text; whole numbers with a fraction of nothing lose it.
fn scalar_text(node: &Node) -> Option<String> {
    match node.kind {
        Kind::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Some((f as i64).to_string()),
        _ => scalar::text(&node.kind),
    }
}

/// Bytes as text; nothing of it is left when they are none.
fn bytes(node: &mut Node) -> Result<(), String> {
    if let Kind::Str(text) = &node.kind
        && text.starts_with('-')
    {
        return Err(format!("`{text}` is not a size; the number -1 (without quotes) means no limit"));
    }
    if matches!(node.kind, Kind::Large(_)) {
        // As docker compose does it, and as good as no limit.
        node.kind = Kind::Str(String::new());
    } else if let Some(text) = scalar_text(node) {
        let bytes = units::bytes(&text)?;
        node.kind = Kind::Str(if bytes == 0 { String::new() } else { bytes.to_string() });
    }
    Ok(())
}

fn to_text(node: &mut Node) {
    if let Some(text) = scalar::text(&node.kind) {
        node.kind = Kind::Str(text);
    }
}

/// Text, where numbers with a point are none.
fn plain_text(node: &mut Node) -> Result<(), String> {
    if let Kind::Float(number) = node.kind {
        let text = scalar::float_text(number);
        return Err(format!("the number {text} is no text here; put it in quotes: \"{text}\""));
    }
    to_text(node);
    Ok(())
}

fn has_fraction(node: &Node) -> bool {
    node.as_list().is_some_and(|list| list.iter().any(|item| matches!(item.kind, Kind::Float(_))))
}

/// A whole number from 0 on. Text is none: where it stands for a number it has been cast.
fn count(node: &mut Node) -> Result<(), String> {
    if let Kind::Str(text) = &node.kind {
        return Err(format!("the text `{text}` is no number here; write it without quotes and variables"));
    }
    int(node)?;
    match node.kind {
        Kind::Int(number) if number < 0 => Err(format!("`{number}` is below 0, the least that is taken here")),
        _ => Ok(()),
    }
}

fn int(node: &mut Node) -> Result<(), String> {
    match &node.kind {
        Kind::Float(f) => node.kind = Kind::Int(*f as i64),
        Kind::Large(n) => return Err(format!("{n} is larger than any number that counts here")),
        Kind::Str(text) => {
            node.kind = Kind::Int(text.parse().map_err(|_| format!("`{text}` is not a whole number"))?);
        }
        _ => {}
    }
    Ok(())
}

/// A number of devices; `all` is -1.
fn count_or_all(node: &mut Node) -> Result<(), String> {
    match node.as_str() {
        Some(text) if text.eq_ignore_ascii_case("all") => node.kind = Kind::Int(-1),
        Some(text) if text.parse::<i64>().is_err() => return Err(format!("`{text}` is neither `all` nor a number")),
        _ => int(node)?,
    }
    Ok(())
}

/// Numbers of 32 bits, as the peer keeps them; written as short as they can be.
fn float(node: &mut Node) -> Result<(), String> {
    let value = match &node.kind {
        Kind::Str(text) => text.parse::<f32>().map_err(|_| format!("`{text}` is not a number"))?,
        Kind::Float(f) => *f as f32,
        Kind::Large(n) => *n as f32,
        _ => return Ok(()),
    };
    node.kind = match value.to_string().parse() {
        Ok(value) => Kind::Float(value),
        Err(_) => Kind::Float(f64::from(value)),
    };
    if let Kind::Float(f) = node.kind
        && f.fract() == 0.0
        && f.abs() < 9e15
    {
        node.kind = Kind::Int(f as i64);
    }
    Ok(())
}

fn mode(node: &mut Node) -> Result<(), String> {
    let mode = match &node.kind {
        Kind::Int(n) => *n,
        Kind::Str(text) => {
            i64::from_str_radix(text.trim_start_matches("0o"), 8).map_err(|_| format!("`{text}` is no octal number"))?
        }
        _ => return Ok(()),
    };
    node.kind = Kind::Str(format!("0{mode:o}"));
    Ok(())
}

fn command(node: &mut Node) -> Result<(), String> {
    match &node.kind {
        Kind::Str(text) => {
            let list = words::split(text)?.list;
            node.kind = Kind::List(list.into_iter().map(|word| Node::text_like(node, word)).collect());
        }
        Kind::List(_) => text_list(node),
        _ => {}
    }
    Ok(())
}

fn text_list(node: &mut Node) {
    match &mut node.kind {
        Kind::List(list) => list.iter_mut().for_each(to_text),
        Kind::Map(_) | Kind::Null => {}
        _ => {
            to_text(node);
            node.kind = Kind::List(vec![node.clone()]);
        }
    }
}

/// A map, or a list of `k=v`, as a map of text. Keys without a value are empty text or nothing.
fn text_map(node: &mut Node, fill: bool) {
    let absent = |place: &Node| if fill { Node::text_like(place, "") } else { Node::like(place, Kind::Null) };
    match &mut node.kind {
        Kind::Map(map) => {
            for value in map.values_mut() {
                if value.is_null() {
                    *value = absent(value);
                } else {
                    to_text(value);
                }
            }
        }
        Kind::List(list) => {
            let pairs = list.iter().filter_map(|item| {
                let text = scalar::text(&item.kind)?;
                Some(match text.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Node { key: item.place(), ..Node::text_like(item, value) }),
                    None => (text, Node { key: item.place(), ..absent(item) }),
                })
            });
            node.kind = Kind::Map(pairs.collect());
        }
        _ => {}
    }
}

fn hosts(node: &mut Node) -> Result<(), String> {
    let mut pairs: Vec<(String, String, Node)> = Vec::new();
    let mut add = |host: &str, address: &str, place: &Node| {
        let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        pairs.push((host.to_owned(), address.to_owned(), place.clone()));
    };
    match &node.kind {
        Kind::Map(map) => {
            for (host, value) in map {
                match &value.kind {
                    Kind::List(list) => list.iter().for_each(|a| add(host, a.as_str().unwrap_or_default(), a)),
                    _ => add(host, value.as_str().unwrap_or_default(), value),
                }
            }
        }
        Kind::List(list) => {
            for item in list {
                let text = item.as_str().unwrap_or_default();
                let cut = text.split_once('=').or_else(|| text.split_once(':'));
                let (host, address) = cut.ok_or_else(|| format!("`{text}` is no `host=address`"))?;
                address.split(',').for_each(|address| add(host, address, item));
            }
        }
        _ => return Ok(()),
    }
    // The empty key of a mapping has been told.
    let empty = matches!(node.kind, Kind::List(_)) && pairs.iter().any(|(host, ..)| host.is_empty());
    if empty {
        return Err("an entry has no name of a host before its address".to_owned());
    }
    if let Some((host, ..)) = pairs.iter().find(|(host, ..)| host.contains([':', '='])) {
        return Err(format!("`{host}` is no name of a host"));
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let lines = pairs.into_iter().map(|(host, address, place)| Node::text_like(&place, format!("{host}={address}")));
    node.kind = Kind::List(lines.collect());
    Ok(())
}
