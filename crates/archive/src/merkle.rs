//! Merkle trees as in RFC 6962, section 2.1, over SHA-256.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A SHA-256.
pub type Hash = [u8; 32];

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    hash(digest(&SHA256, bytes).as_ref())
}

/// The hash of a leaf.
#[must_use]
pub fn leaf(data: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[LEAF]);
    context.update(data);
    hash(context.finish().as_ref())
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[NODE]);
    context.update(left);
    context.update(right);
    hash(context.finish().as_ref())
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    hash
}

/// The root of a tree, built leaf by leaf in memory that grows with the logarithm of their number.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Roots of whole subtrees, the largest first, with the number of leaves of each.
    subtrees: Vec<(u64, Hash)>,
}

impl Tree {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut subtree = (1, leaf);
        while let Some((leaves, left)) = self.subtrees.pop_if(|(leaves, _)| *leaves == subtree.0) {
            subtree = (leaves * 2, node(&left, &subtree.1));
        }
        self.subtrees.push(subtree);
    }

    /// The root of all leaves so far; of none, the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        let Some((_, smallest)) = subtrees.next() else { return sha256(&[]) };
        subtrees.fold(*smallest, |right, (_, left)| node(left, &right))
    }
}

/// The hashes that prove that leaf `index` is in the tree of `leaves` (RFC 6962 section 2.1.1).
#[must_use]
pub fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    let split = leaves.len().checked_next_power_of_two().unwrap_or(leaves.len()) / 2;
    let (Some(left), Some(right)) = (leaves.get(..split), leaves.get(split..)) else {
        return Vec::new();
    };
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (mut below, sibling) = match index.checked_sub(split) {
        None => (path(index, left), right),
        Some(index) => (path(index, right), left),
    };
    below.push(root(sibling));
    below
}

/// The root of a tree.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// The root that a leaf and its path lead to (RFC 9162 section 2.1.3.2), or `None` if the path is
/// not one of leaf `index` in a tree of `count` leaves.
#[must_use]
pub fn root_by_path(leaf: Hash, index: u64, count: u64, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let (mut index, mut last, mut hash) = (index, count - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if index % 2 == 1 || index == last {
            hash = node(sibling, &hash);
            while index % 2 == 0 && index != 0 {
                index /= 2;
                last /= 2;
            }
        } else {
            hash = node(&hash, sibling);
        }
        index /= 2;
        last /= 2;
    }
    (last == 0).then_some(hash)
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    })
}

/// What lower-case hexadecimal of exactly `N` bytes stands for. Upper case is refused: a signed
/// text has one form.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The inputs of certificate-transparency's own tests (`merkletree/merkle_tree_test.cc`).
    const LEAVES: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[
            0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d,
            0x6e, 0x6f,
        ],
    ];
    /// And their roots, of the first 1, 2, … leaves.
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf(&n.to_le_bytes())).collect()
    }

    #[test]
    fn p6_roots_are_those_of_rfc_6962() {
        assert_eq!(hex(&root(&[])), hex(&sha256(b"")));
        let mut tree = Tree::default();
        for (data, wanted) in LEAVES.iter().zip(ROOTS) {
            tree.push(leaf(data));
            assert_eq!(hex(&tree.root()), wanted);
        }
    }

    #[test]
    fn p6_a_path_proves_its_leaf_and_no_other() {
        for count in 1..=40 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for index in 0..count {
                let path = path(index, &leaves);
                let proves = |leaf, index: usize| {
                    root_by_path(leaf, index as u64, count as u64, &path) == Some(root)
                };
                assert!(proves(leaves[index], index), "{index} of {count}");
                assert!(!proves(leaf(b"another"), index), "{index} of {count}");
                assert!(!proves(leaves[index], index + 1), "{index} of {count}");
            }
        }
        assert_eq!(root_by_path([0; 32], 0, 0, &[]), None);
    }

    #[test]
    fn hexadecimal_has_one_form() {
        assert_eq!(unhex::<2>("0aff"), Some([10, 255]));
        for bad in ["0aFF", "0af", "0affa", "zz00", ""] {
            assert_eq!(unhex::<2>(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn p6_no_path_of_another_length_proves(count in 1_usize..70, at: usize, cut in 1_usize..4) {
            let leaves = leaves(count);
            let index = at % count;
            let mut path = path(index, &leaves);
            let root = root(&leaves);
            let kept = path.len().saturating_sub(cut);
            if kept < path.len() {
                let short = root_by_path(leaves[index], index as u64, count as u64, &path[..kept]);
                prop_assert_ne!(short, Some(root));
            }
            path.push([7; 32]);
            prop_assert_eq!(root_by_path(leaves[index], index as u64, count as u64, &path), None);
        }
    }
}
