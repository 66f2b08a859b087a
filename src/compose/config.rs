//! What `config` prints (spec.md section 11).

mod hash;
mod json;
mod order;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{Keys, Out, PROJECT, Shape};
use super::node::{Kind, Map, Node};
pub use super::template::Use;
use super::{LoadOptions, Loaded, bind, template};
use crate::diag::{Code, Diagnostic, Diagnostics};

/// In which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

/// A node and how it is printed; the fields of a mapping come in the table's order.
struct View<'a> {
    node: &'a Node,
    shape: &'a Shape,
}

/// The loaded project as text.
pub fn print(loaded: &Loaded, format: Format) -> String {
    text(&loaded.tree, format, true)
}

/// The merged files with their variables, as text (`--no-interpolate`), and the warnings.
pub fn print_raw(options: &LoadOptions, format: Format) -> Result<String, Diagnostics> {
    let options = LoadOptions { no_interpolate: true, ..options.clone() };
    let mut tree = checked(&options)?;
    if !options.no_normalize {
        // As docker compose: where variables stay, the project's name is the only one that is known.
        let known = [("COMPOSE_PROJECT_NAME".to_owned(), tree.name.clone())].into();
        super::normalize::normalize(&mut tree.root, &tree.name, &known);
    }
    Ok(text(&tree.root, format, false))
}

/// The merged tree, if nothing is wrong with it.
pub(super) fn checked(options: &LoadOptions) -> Result<super::Tree, Diagnostics> {
    let tree = super::tree(options)?;
    if tree.loader.failed() { Err(tree.loader.diagnostics()) } else { Ok(tree) }
}

/// The loaded project in canonical form, as JSON that may be kept: the text of inline configs is a digest in it, as no
/// record holds what may be secret there.
pub fn record(loaded: &Loaded) -> String {
    let text = print(loaded, Format::Json);
    let configs = loaded.tree.get("configs").and_then(Node::as_map);
    if !configs.is_some_and(|configs| configs.values().any(|config| config.get("content").is_some())) {
        return text;
    }
    // What was printed as JSON reads as JSON.
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let configs = value.get_mut("configs").and_then(serde_json::Value::as_object_mut);
    for content in configs.into_iter().flat_map(|map| map.values_mut()).filter_map(|config| config.get_mut("content")) {
        *content = hash::text(content.as_str().unwrap_or_default()).into();
    }
    value.to_string()
}

/// What [`record`] keeps, for programs.
pub fn value(loaded: &Loaded) -> serde_json::Value {
    value_of(&record(loaded))
}

/// A project that [`record`] has kept; nothing if it is no such thing.
pub fn value_of(text: &str) -> serde_json::Value {
    let mut value = serde_json::from_str(text).unwrap_or_default();
    // Dollar signs are doubled so that the text can be loaded again.
    unescape(&mut value);
    value
}

fn unescape(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = text.replace("$$", "$"),
        serde_json::Value::Array(list) => list.iter_mut().for_each(unescape),
        serde_json::Value::Object(map) => map.values_mut().for_each(unescape),
        _ => {}
    }
}

fn text(root: &Node, format: Format, typed: bool) -> String {
    match format {
        Format::Yaml => yaml::print(root, &PROJECT, typed),
        Format::Json => json::print(root, &PROJECT, typed),
    }
}

/// Names of services and their hashes: of all of them, or of the named ones.
///
/// # Errors
/// A name that is no service's.
pub fn hashes(loaded: &Loaded, names: &[String]) -> Result<Vec<(String, String)>, Diagnostic> {
    for name in names {
        if bind::services(&loaded.tree).all(|(known, _)| known != name) {
            let known = bind::services(&loaded.tree).map(|(known, _)| known.as_str());
            return Err(
                Diagnostic::new(Code::NoSuchService, format!("no such service: `{name}`")).did_you_mean(name, known)
            );
        }
    }
    let wanted = bind::services(&loaded.tree).filter(|(name, _)| names.is_empty() || names.contains(name));
    Ok(wanted.map(|(name, service)| (name.clone(), hash::hash(service))).collect())
}

/// The variables that the files use.
///
/// # Errors
/// All that is wrong in the files.
pub fn variables(options: &LoadOptions) -> Result<BTreeMap<String, Use>, Diagnostics> {
    let options = LoadOptions { no_interpolate: true, ..options.clone() };
    let mut found = BTreeMap::new();
    collect(&checked(&options)?.root, &mut found);
    Ok(found)
}

pub(super) fn collect(node: &Node, found: &mut BTreeMap<String, Use>) {
    match &node.kind {
        Kind::Str(text) => template::variables(text, found),
        Kind::List(list) => list.iter().for_each(|item| collect(item, found)),
        Kind::Map(map) => map.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// Names of the services, sorted.
pub fn services(loaded: &Loaded) -> Vec<String> {
    bind::services(&loaded.tree).map(|(name, _)| name.clone()).collect()
}

/// The models that the services use, by what they are and not by their keys, sorted.
pub fn models(loaded: &Loaded) -> Vec<String> {
    let models = loaded.tree.get("models").and_then(Node::as_map).into_iter().flat_map(Map::values);
    let mut models: Vec<String> = models.filter_map(|model| model.get_str("model").map(str::to_owned)).collect();
    models.sort();
    models
}

/// Keys of a top-level section (`volumes`, `networks`), sorted.
pub fn section(loaded: &Loaded, section: &str) -> Vec<String> {
    loaded.tree.get(section).and_then(Node::as_map).into_iter().flat_map(Map::keys).cloned().collect()
}

/// All profiles, of services that are off too, sorted.
pub fn profiles(loaded: &Loaded) -> Vec<String> {
    let services = bind::services(&loaded.tree).chain(&loaded.disabled);
    let profiles: BTreeSet<String> = services
        .flat_map(|(_, service)| service.get("profiles").and_then(Node::as_list).unwrap_or_default())
        .filter_map(|profile| profile.as_str().map(str::to_owned))
        .collect();
    profiles.into_iter().collect()
}

/// Writes the digests of images behind their names.
pub fn pin(loaded: &mut Loaded, pinned: &BTreeMap<String, String>) {
    let Some(Kind::Map(services)) = loaded.tree.get_mut("services").map(|node| &mut node.kind) else { return };
    for service in services.values_mut() {
        if let Some(Kind::Str(image)) = service.get_mut("image").map(|node| &mut node.kind)
            && let Some(exact) = pinned.get(image.as_str())
        {
            image.clone_from(exact);
        }
    }
}

/// Leaves nothing but the images: a file to put beside the others (`--lock-image-digests`).
pub fn only_images(loaded: &mut Loaded) {
    let Some(root) = loaded.tree.as_map_mut() else { return };
    root.retain(|key, _| key == "services");
    for service in root.get_mut("services").and_then(Node::as_map_mut).into_iter().flat_map(Map::values_mut) {
        if let Some(service) = service.as_map_mut() {
            service.retain(|key, _| key == "image");
        }
    }
}

/// The images that services name, as they are written.
pub fn named_images(loaded: &Loaded) -> BTreeSet<String> {
    bind::services(&loaded.tree).filter_map(|(_, service)| service.get_str("image").map(str::to_owned)).collect()
}

/// Images of the services, in their order.
pub fn images(loaded: &Loaded) -> Vec<String> {
    let name = loaded.tree.get_str("name").unwrap_or_default();
    let image = |(key, service): (&String, &Node)| match service.get_str("image") {
        Some(image) => image.to_owned(),
        None => format!("{name}-{key}"),
    };
    bind::services(&loaded.tree).map(image).collect()
}

impl<'a> View<'a> {
    /// All members: fields in the table's order, the user's keys by their bytes.
    fn fields_then_names(&self, map: &'a Map) -> Vec<(&'a str, View<'a>)> {
        let any = &super::attributes::ANY;
        let view = |(key, node): (&'a String, &'a Node)| {
            (key.as_str(), View { node, shape: self.shape.field(key).unwrap_or(any) })
        };
        match self.shape.keys {
            Keys::Fields(fields) => fields.iter().filter_map(|(name, _)| map.get_key_value(*name).map(view)).collect(),
            _ => map.iter().map(view).collect(),
        }
    }

    /// The items of a list in the order of output: addresses of hosts by their text, where the tree is `typed`.
    fn items(&self, list: &'a [Node], typed: bool) -> Vec<View<'a>> {
        let shape = self.shape.items.unwrap_or(&super::attributes::ANY);
        let mut items: Vec<View<'a>> = list.iter().map(|node| View { node, shape }).collect();
        if typed && self.shape.out == Out::Hosts {
            items.sort_by_key(|item| item.node.as_str());
        }
        items
    }

    /// The members of a mapping in the order of output: the table's for attributes of a `typed` tree, else by name.
    fn members(&self, map: &'a Map, typed: bool) -> Vec<(&'a str, View<'a>)> {
        let view = |(key, node): (&'a String, &'a Node)| {
            (key.as_str(), View { node, shape: self.shape.field(key).unwrap_or(&super::attributes::ANY) })
        };
        let by_name = |mut rest: Vec<(&'a str, View<'a>)>| {
            rest.sort_by(|a, b| order::natural(a.0, b.0));
            rest
        };
        match self.shape.keys {
            Keys::Fields(fields) if typed => {
                let known = fields.iter().filter(|(_, shape)| shape.out != Out::Hidden);
                let known = known.filter_map(|(name, _)| map.get_key_value(*name).map(view));
                let rest = map.iter().filter(|(key, _)| fields.iter().all(|(name, _)| name != key)).map(view);
                known.chain(by_name(rest.collect())).collect()
            }
            _ => by_name(map.iter().map(view).collect()),
        }
    }
}

/// A value on one line, as JSON.
pub fn inline(node: &Node) -> String {
    json::value(node, &super::attributes::ANY).to_string()
}

/// Doubles dollar signs of values without variables, so that the output can be read again.
fn escape(text: &str, typed: bool) -> String {
    if typed { text.replace('$', "$$") } else { text.to_owned() }
}

fn is_empty_section(key: &str, node: &Node) -> bool {
    key != "services" && !key.starts_with("x-") && matches!(&node.kind, Kind::Map(map) if map.is_empty())
}
