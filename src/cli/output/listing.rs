//! A list of things as `--format` wants it: a table, JSON, or a template.

use serde::Serialize;
use serde_json::{Map, Value};

use super::super::error::CliError;
use super::template::{Template, display};
use super::{Output, table};

/// A list of things: the columns of its table, and one object for each.
pub struct Listing {
    /// Heading and key of each column of the table.
    pub columns: &'static [(&'static str, &'static str)],
    /// The things.
    pub rows: Vec<Map<String, Value>>,
    /// `--format json` prints one array, not one object a line.
    pub json_array: bool,
}

impl Listing {
    /// Prints it in the form asked for: `table`, `json`, `table TEMPLATE` or `TEMPLATE`.
    ///
    /// # Errors
    /// A template that is not understood; output that can't be written.
    pub fn print(self, output: &Output, format: &str) -> Result<(), CliError> {
        match format {
            "" | "table" | "pretty" => output.raw(self.table().as_bytes()),
            "json" if self.json_array => output.json(&self.rows),
            "json" => self.rows.iter().try_for_each(|row| output.json(row)),
            template => self.template(output, template),
        }
    }

    fn table(&self) -> String {
        let heading: Vec<&str> = self.columns.iter().map(|(heading, _)| *heading).collect();
        let cell = |row: &Map<String, Value>, key: &str| row.get(key).map(display).unwrap_or_default();
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| self.columns.iter().map(|(_, key)| cell(row, key)).collect()).collect();
        table::render(&heading, &rows)
    }

    fn template(self, output: &Output, format: &str) -> Result<(), CliError> {
        let refused = |message| CliError::usage(format!("`--format`: {message}"));
        let rows: Vec<Value> = self.rows.into_iter().map(Value::Object).collect();
        if let Some(template) = format.strip_prefix("table ") {
            let heading = |key: &str| {
                let column = self.columns.iter().find(|(_, name)| *name == key);
                column.map_or_else(|| key.to_uppercase(), |(heading, _)| (*heading).to_owned())
            };
            let text = Template::parse(template).and_then(|t| t.table(heading, &rows)).map_err(refused)?;
            return output.raw(text.as_bytes());
        }
        let template = Template::parse(format).map_err(refused)?;
        rows.iter().try_for_each(|row| output.line(&template.fill(row).map_err(refused)?))
    }
}

/// A thing as an object.
pub fn row<T: Serialize>(thing: &T) -> Map<String, Value> {
    match serde_json::to_value(thing) {
        Ok(Value::Object(map)) => map,
        // Nothing is listed that is no struct of plain values.
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn print(format: &str, json_array: bool) -> Result<String, String> {
        let (output, out, _) = Output::captured(false);
        let rows = vec![row(&json!({ "Name": "web", "N": 1 })), row(&json!({ "Name": "database", "N": 22 }))];
        let listing = Listing { columns: &[("NAME", "Name"), ("COUNT", "N")], rows, json_array };
        listing.print(&output, format).map_err(|error| error.to_string())?;
        Ok(out.text())
    }

    #[test]
    fn what_a_container_has_in_its_command_steers_no_terminal() {
        let hostile = || vec![row(&json!({ "Name": "web", "Command": "a\u{1b}[2J\nb" }))];
        let print = |format: &str| {
            let (output, out, _) = Output::captured(false);
            let listing =
                Listing { columns: &[("NAME", "Name"), ("COMMAND", "Command")], rows: hostile(), json_array: false };
            listing.print(&output, format).expect("printed");
            out.text()
        };
        assert_eq!(print("table"), "NAME   COMMAND\nweb    a\\x1b[2J\\nb\n");
        assert_eq!(print("table {{.Command}}"), "COMMAND\na\\x1b[2J\\nb\n");
        assert_eq!(print("{{.Command}}"), "a\\x1b[2J\nb\n", "lines stay lines in a template of one's own");
        // JSON has escapes of its own.
        assert_eq!(print("json"), "{\"Command\":\"a\\u001b[2J\\nb\",\"Name\":\"web\"}\n");
        assert_eq!(print("{{json .Command}}"), "\"a\\u001b[2J\\nb\"\n");
    }

    #[test]
    fn the_forms() {
        insta::assert_snapshot!(print("table", false).expect("printed"), @r"
        NAME       COUNT
        web        1
        database   22
        ");
        insta::assert_snapshot!(print("json", false).expect("printed"), @r#"
        {"N":1,"Name":"web"}
        {"N":22,"Name":"database"}
        "#);
        insta::assert_snapshot!(print("json", true).expect("printed"), @r#"[{"N":1,"Name":"web"},{"N":22,"Name":"database"}]"#);
        insta::assert_snapshot!(print("{{.Name}}={{.N}}", false).expect("printed"), @r"
        web=1
        database=22
        ");
        insta::assert_snapshot!(print(r"table {{.N}}\t{{.Name}}", false).expect("printed"), @r"
        COUNT   NAME
        1       web
        22      database
        ");
        assert!(print("{{range}}", false).expect_err("refused").contains("`{{range}}`"));
    }
}
