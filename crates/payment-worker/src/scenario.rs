//! The rule of the simulated gateway: what an order's payment scenario means.
//!
//! Frozen by the wire contract, except for strings that begin with `sim:`.

use crate::gateway::{Charge, Verdict};
use ofs_events::OrderId;
use std::time::Duration;

/// The reason for a declined card, by the wire contract.
pub const DECLINED: &str = "Card declined (demo)";

/// How the gateway behaves before it comes to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers at once.
    Prompt,
    /// The verdict is there so long after the first attempt, however often it is asked.
    Slow(Duration),
    /// So many attempts get no answer at all.
    Silent(u32),
    /// So many attempts are refused.
    Down(u32),
    /// Charges at once, but the first answer is lost on its way.
    LostAnswer,
}

/// What the scenario of `charge` means.
#[must_use]
pub fn scenario(charge: &Charge) -> (Behaviour, Verdict) {
    let declined = || Verdict::Declined { reason: DECLINED.to_owned() };
    let verdict = |authorized| if authorized { Verdict::Authorized } else { declined() };
    let text = charge.scenario.as_ref().map(|text| text.trim().to_lowercase());
    let Some(text) = text else {
        return (Behaviour::Prompt, verdict(is_lucky(charge.order)));
    };
    match text.strip_prefix("sim:").map(simulated) {
        Some(Some(behaviour)) => (behaviour, Verdict::Authorized),
        Some(None) => (Behaviour::Prompt, declined()),
        None => (Behaviour::Prompt, verdict(text == "success")),
    }
}

/// Whether the character code of the order id's last hex digit is even.
fn is_lucky(order: OrderId) -> bool {
    order.to_string().bytes().next_back().is_some_and(|digit| digit % 2 == 0)
}

fn simulated(text: &str) -> Option<Behaviour> {
    let (name, argument) = match text.split_once(':') {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    };
    let times = |default| argument.map_or(Some(default), |text| text.parse().ok());
    match (name, argument) {
        ("slow", None) => Some(Behaviour::Slow(Duration::from_secs(2))),
        ("slow", Some(text)) => duration(text).map(Behaviour::Slow),
        ("timeout", _) => times(3).map(Behaviour::Silent),
        ("down", _) => times(5).map(Behaviour::Down),
        ("lost-answer", None) => Some(Behaviour::LostAnswer),
        _ => None,
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, of): (_, fn(u64) -> Duration) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis),
        None => (text.strip_suffix('s')?, Duration::from_secs),
    };
    number.parse::<u32>().ok().map(|number| of(number.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn of(digit: u128, scenario_text: Option<&str>) -> (Behaviour, Verdict) {
        let order = OrderId(Uuid::from_u128(0xabc0 + digit));
        scenario(&Charge { order, scenario: scenario_text.map(str::to_owned) })
    }

    fn declined() -> Verdict {
        Verdict::Declined { reason: "Card declined (demo)".to_owned() }
    }

    #[test]
    fn without_a_scenario_the_last_hex_digit_decides() {
        for digit in 0..16 {
            let character = char::from_digit(u32::try_from(digit).expect("small"), 16);
            let lucky = "02468bdf".contains(character.expect("hex"));
            let verdict = if lucky { Verdict::Authorized } else { declined() };
            assert_eq!(of(digit, None), (Behaviour::Prompt, verdict), "digit {digit:x}");
        }
    }

    #[test]
    fn success_is_authorized_and_any_other_text_is_declined() {
        for digit in 0..16 {
            for text in ["success", " SUCCESS ", "Success\t"] {
                assert_eq!(of(digit, Some(text)).1, Verdict::Authorized, "{text}");
            }
            for text in ["", " ", "fail", "successful", "sim", "sim:", "sim:unheard-of"] {
                assert_eq!(of(digit, Some(text)), (Behaviour::Prompt, declined()), "{text}");
            }
        }
    }

    #[test]
    fn sim_scenarios_say_how_the_gateway_misbehaves() {
        for (text, behaviour) in [
            ("sim:slow:2s", Some(Behaviour::Slow(Duration::from_secs(2)))),
            ("SIM:Slow:1500ms", Some(Behaviour::Slow(Duration::from_millis(1500)))),
            ("sim:slow", Some(Behaviour::Slow(Duration::from_secs(2)))),
            ("sim:timeout:1", Some(Behaviour::Silent(1))),
            ("sim:timeout", Some(Behaviour::Silent(3))),
            ("sim:down:5", Some(Behaviour::Down(5))),
            ("sim:lost-answer", Some(Behaviour::LostAnswer)),
            ("sim:lost-answer:1", None),
            ("sim:slow:soon", None),
            ("sim:down:-1", None),
        ] {
            let expected = behaviour
                .map_or((Behaviour::Prompt, declined()), |found| (found, Verdict::Authorized));
            assert_eq!(of(1, Some(text)), expected, "{text}");
        }
    }
}
