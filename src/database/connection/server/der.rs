//! The elements of a certificate in DER, for what the crate of OpenSSL does not read.

/// Elements that follow each other: their tags and contents. They end where the bytes are not DER.
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            // The lower bits are the number of bytes that the length has.
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()))?, rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}

impl Elements<'_> {
    /// The elements inside the one with this number.
    pub(super) fn inside(mut self, number: usize) -> Option<Self> {
        self.nth(number).map(|(_, content)| Self(content))
    }

    /// The elements inside the first one with this tag.
    pub(super) fn inside_tag(mut self, tag: u8) -> Option<Self> {
        self.find(|(found, _)| *found == tag).map(|(_, content)| Self(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_follow_each_other_as_long_as_they_are_complete() {
        let long = [&[4, 0x82, 1, 0][..], &[7; 256]].concat();
        let found: Vec<_> =
            Elements(&[&[2, 1, 5][..], &long, &[4, 2, 0]].concat()).map(|(tag, inner)| (tag, inner.len())).collect();
        assert_eq!(found, [(2, 1), (4, 256)]);
        for broken in [&[][..], &[4], &[4, 1], &[4, 0x81], &[4, 0x80, 0, 0, 0], &[4, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Elements(broken).map(|(_, inner)| inner.len()).sum::<usize>(), 0, "{broken:?}");
        }
    }
}
