//! Colours, and whether they may be used.

use anstyle::{AnsiColor, Color, Style};

use super::super::settings::Ansi;

/// How a word is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Went wrong.
    Error,
    /// Should be looked at.
    Warning,
    /// Done.
    Good,
    /// Under way.
    Busy,
    /// Beside the point.
    Dim,
    /// To be seen.
    Strong,
}

impl Tone {
    /// The text in this tone, or as it is.
    pub fn paint(self, text: &str, color: bool) -> String {
        if color { wrap(self.style(), text) } else { text.to_owned() }
    }

    fn style(self) -> Style {
        let fg = |color: AnsiColor| Style::new().fg_color(Some(Color::Ansi(color)));
        match self {
            Self::Error => fg(AnsiColor::Red).bold(),
            Self::Warning => fg(AnsiColor::Yellow).bold(),
            Self::Good => fg(AnsiColor::Green),
            Self::Busy => fg(AnsiColor::Cyan),
            Self::Dim => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
        }
    }
}

/// The colours of log prefixes, in the order in which they are given out.
const PREFIX_COLORS: [AnsiColor; 10] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightYellow,
    AnsiColor::BrightGreen,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

/// The text in the colour of the `n`th source of log lines.
pub fn paint_prefix(n: usize, text: &str) -> String {
    wrap(Style::new().fg_color(Some(Color::Ansi(PREFIX_COLORS[n % PREFIX_COLORS.len()]))), text)
}

fn wrap(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// The variables that have a say about colours.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `CLICOLOR` is `0`.
    pub clicolor_off: bool,
    /// `CLICOLOR_FORCE` is set and not `0`.
    pub clicolor_force: bool,
    /// `TERM` is `dumb`.
    pub dumb: bool,
}

impl Env {
    /// Reads them.
    pub fn read() -> Self {
        let get = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            no_color: get("NO_COLOR").is_some(),
            clicolor_off: get("CLICOLOR").is_some_and(|value| value == "0"),
            clicolor_force: get("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            dumb: get("TERM").is_some_and(|value| value == "dumb"),
        }
    }
}

/// Whether a stream may be coloured. A flag beats the environment; `NO_COLOR` beats all other variables.
pub fn colored(ansi: Ansi, terminal: bool, env: &Env) -> bool {
    match ansi {
        Ansi::Always => true,
        Ansi::Never => false,
        Ansi::Auto if env.no_color => false,
        Ansi::Auto if env.clicolor_force => true,
        Ansi::Auto => terminal && !env.dumb && !env.clicolor_off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_environment_and_no_color_the_rest() {
        let none = Env::default();
        assert!(colored(Ansi::Auto, true, &none));
        assert!(!colored(Ansi::Auto, false, &none));
        assert!(colored(Ansi::Always, false, &Env { no_color: true, ..Env::default() }));
        assert!(!colored(Ansi::Never, true, &Env { clicolor_force: true, ..Env::default() }));
        assert!(!colored(Ansi::Auto, true, &Env { no_color: true, clicolor_force: true, ..Env::default() }));
        assert!(colored(Ansi::Auto, false, &Env { clicolor_force: true, ..Env::default() }));
        assert!(!colored(Ansi::Auto, true, &Env { dumb: true, ..Env::default() }));
        assert!(!colored(Ansi::Auto, true, &Env { clicolor_off: true, ..Env::default() }));
    }
}
