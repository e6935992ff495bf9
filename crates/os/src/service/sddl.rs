//! Access lists as text: what a service may do with others, added to what is there.
//!
//! <https://learn.microsoft.com/windows/win32/secauthz/security-descriptor-string-format>

/// Ask for status (`LC`) and configuration (`CC`), interrogate (`LO`), start (`RP`), stop (`WP`), list those that
/// depend on it (`SW`), read the access list (`RC`). Not `DC`, change its configuration: whoever may do that runs
/// programs as the service's account.
const CONTROL: &str = "CCLCSWRPWPLORC";

/// The entry that lets `sid` control a service.
pub(super) fn control_entry(sid: &str) -> String {
    format!("(A;;{CONTROL};;;{sid})")
}

/// `descriptor` with `entry` at the end of its access list, before the audit list. `None`: it has no access list,
/// which means that everybody may do everything, and an entry would take that away; or it holds the entry already.
pub(super) fn with_entry(descriptor: &str, entry: &str) -> Option<String> {
    let begin = descriptor.find("D:")?;
    if descriptor.contains(entry) {
        return None;
    }
    // The access list ends where the audit list begins, or at the end. `S:` occurs nowhere inside an entry.
    let end = descriptor[begin..].find("S:").map_or(descriptor.len(), |at| begin + at);
    let (access, audit) = descriptor.split_at(end);
    Some(format!("{access}{entry}{audit}"))
}

/// Full access for SYSTEM, the administrators and `sid`; nothing inherited, all of it handed on to what is inside.
pub(super) fn folder(sid: &str) -> String {
    format!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{sid})")
}

/// Whether `is`, as a system reads it back, holds the entries of the protected list `wanted` and no others. Windows adds
/// flags before the first entry.
pub(super) fn is_same_list(is: &str, wanted: &str) -> bool {
    let entries = |list: &str| list.split_once('(').map(|(_, entries)| entries.to_owned());
    is.starts_with("D:P") && entries(is) == entries(wanted)
}

/// The identity of a service: `S-1-5-80-` and the SHA-1 of its name in upper case UTF-16, as five numbers.
pub(super) fn service_sid(sha1: [u8; 20]) -> String {
    let mut sid = String::from("S-1-5-80");
    for part in sha1.chunks_exact(4) {
        let number = u32::from_le_bytes([part[0], part[1], part[2], part[3]]);
        sid.push_str(&format!("-{number}"));
    }
    sid
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESENT: &str =
        "D:(A;;CCLCSWRPWPDTLOCRRC;;;SY)(A;;CCLCSWLOCRRC;;;IU)S:(AU;FA;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;WD)";

    #[test]
    fn a_list_is_known_again_whatever_flags_windows_has_added() {
        let wanted = folder("S-1-5-80-1-2-3-4-5");
        assert!(is_same_list(&wanted, &wanted));
        assert!(is_same_list(&wanted.replace("D:P", "D:PAI"), &wanted));
        assert!(!is_same_list(&wanted.replace("D:P", "D:AI"), &wanted), "one that inherits is another");
        assert!(!is_same_list(&format!("{wanted}(A;;FA;;;WD)"), &wanted));
        assert!(!is_same_list("", &wanted));
    }

    #[test]
    fn an_entry_goes_to_the_end_of_the_access_list_once_and_keeps_the_others() {
        let entry = control_entry("S-1-5-80-1-2-3-4-5");
        let granted = with_entry(PRESENT, &entry).unwrap();
        assert_eq!(granted, PRESENT.replace("S:(", &format!("{entry}S:(")));
        assert_eq!(with_entry(&granted, &entry), None, "once is enough");
        assert_eq!(with_entry("O:SYG:SY", &entry), None);
        assert_eq!(with_entry("D:(A;;LC;;;SY)", &entry).unwrap(), format!("D:(A;;LC;;;SY){entry}"));
    }

    #[test]
    fn the_rights_given_are_not_those_that_give_all_others() {
        let entry = control_entry("S-1-1-0");
        let rights: Vec<&str> = (0..CONTROL.len()).step_by(2).map(|at| &CONTROL[at..at + 2]).collect();
        for dangerous in ["DC", "WD", "WO", "SD", "GA"] {
            assert!(!rights.contains(&dangerous), "{dangerous} in {entry}");
        }
    }

    #[test]
    fn a_folder_is_for_the_service_and_those_who_may_everything_anyway() {
        assert_eq!(folder("S-1-1-0"), "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-1-0)");
    }

    #[test]
    fn a_service_s_identity_is_five_little_endian_numbers() {
        let mut sha1 = [0; 20];
        sha1[0] = 1;
        sha1[19] = 0x80;
        assert_eq!(service_sid(sha1), "S-1-5-80-1-0-0-0-2147483648");
    }
}
