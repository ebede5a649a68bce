//! What a replica does for its sessions, in one thread: copies, doors that open late, relays with wrong clocks, relays
//! that never meet, receipts.

#[cfg(test)]
mod copies;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod judging;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod relays;
#[cfg(test)]
mod support;
