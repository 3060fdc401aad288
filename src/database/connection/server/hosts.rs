//! The order in which several hosts are tried, and the reasons why none was reached.

use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::url::{HostOrder, HostPlace, PostgresqlAddress};

/// The hosts, each with its number, in the order in which they are tried. A run works on one server: after the first
/// login its host is the only one, because a plan that was made for one server must not be carried out on another.
pub(super) fn in_order(address: &PostgresqlAddress) -> Vec<(usize, HostPlace<'_>)> {
    let all: Vec<_> = address.places().into_iter().enumerate().collect();
    match address.reached().and_then(|reached| all.get(reached.number).copied()) {
        Some(reached) => vec![reached],
        None => shuffled(all, address.host_order),
    }
}

/// The same in a random order, if that is asked for.
pub(super) fn shuffled<T>(mut list: Vec<T>, order: HostOrder) -> Vec<T> {
    if order == HostOrder::Random {
        for end in 1..list.len() {
            list.swap(end, random_up_to(end));
        }
    }
    list
}

fn random_up_to(most: usize) -> usize {
    let mut random = [0; 8];
    // Without random numbers the order stays.
    openssl::rand::rand_bytes(&mut random).map_or(most, |()| usize::from_le_bytes(random) % (most + 1))
}

/// One cause for all hosts, of the class and with the hint of the last.
pub(super) fn joined(mut causes: Vec<(HostPlace<'_>, DatabaseCause)>) -> DatabaseCause {
    let class = causes.last().map_or(ErrorClass::Refused, |(_, cause)| cause.class);
    match causes.pop() {
        Some((_, cause)) if causes.is_empty() => cause,
        Some(last) => {
            let remedy = last.1.remedy().map(str::to_owned);
            causes.push(last);
            let all: Vec<_> = causes.iter().map(|(host, cause)| format!("{host}: {}", cause.message)).collect();
            let joined = DatabaseCause::new(class, all.join("; "));
            remedy.into_iter().fold(joined, DatabaseCause::with_remedy)
        }
        None => DatabaseCause::new(class, "no host is given"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::url::{Protection, Reached};

    #[test]
    fn after_a_login_its_host_is_the_only_one() {
        let mut address = PostgresqlAddress::new("one", 1, None, None, None);
        address.hosts.push("two".to_owned());
        address.ports.push(2);
        let numbers =
            |address: &PostgresqlAddress| in_order(address).iter().map(|(number, _)| *number).collect::<Vec<_>>();
        assert_eq!(numbers(&address), [0, 1]);
        address.clone().set_reached(Reached { number: 1, protection: Protection::PlainText, time_zone: None });
        assert_eq!((numbers(&address), in_order(&address)[0].1.host), (vec![1], "two"));
    }

    #[test]
    fn a_random_order_has_every_host_at_every_place() {
        let all = || (0..200).map(|_| shuffled(vec![1, 2, 3], HostOrder::Random));
        for place in 0..3 {
            for host in 1..=3 {
                assert!(all().any(|list| list[place] == host), "host {host} is never at {place}");
            }
        }
        assert_eq!(shuffled(vec![1, 2, 3], HostOrder::AsGiven), [1, 2, 3]);
    }
}
