//! The random numbers of a group.

use ijepa_masking::MaskRng;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ALL_BITS: usize = 1 << 32;

/// Runs of earlier versions are repeated only by the same numbers.
#[test]
fn numbers_of_a_group_are_the_same_in_every_version() {
    let mut rng = MaskRng::for_group(1, 2, 3);
    let sizes = [(); 3].map(|()| rng.size_unit() * f64::from(1 << 24));
    let positions = [(); 3].map(|()| rng.position(ALL_BITS));
    assert_eq!(sizes, [15_912_455.0, 13_757_778.0, 13_777_888.0]);
    assert_eq!(positions, [1_828_378_375, 338_896_628, 3_738_400_963]);
}

#[test]
fn sizes_and_positions_have_a_stream_each() {
    for group in 0..10 {
        let mut rng = MaskRng::for_group(0, 0, group);
        let sizes = [(); 8].map(|()| (rng.size_unit() * f64::from(1 << 24)) as usize);
        let positions = [(); 8].map(|()| rng.position(1 << 24));
        assert_ne!(sizes, positions);
        // Neither stream moves the other.
        let mut rng = MaskRng::for_group(0, 0, group);
        let pairs = [(); 8].map(|()| {
            let position = rng.position(1 << 24);
            (position, (rng.size_unit() * f64::from(1 << 24)) as usize)
        });
        assert_eq!(pairs.map(|(position, _)| position), positions);
        assert_eq!(pairs.map(|(_, size)| size), sizes);
    }
}

#[test]
fn as_a_generator_of_rand_it_is_the_position_stream() {
    let stream = |seed| ChaCha8Rng::seed_from_u64(seed);
    let mut rng = MaskRng::new(stream(1), stream(2));
    let mut positions = stream(2);
    assert_eq!(rng.next_u32(), positions.next_u32());
    assert_eq!(rng.next_u64(), positions.next_u64());
    let (mut found, mut expected) = ([0; 13], [0; 13]);
    rng.fill_bytes(&mut found);
    positions.fill_bytes(&mut expected);
    assert_eq!(found, expected);
    assert_eq!(rng.position(ALL_BITS), positions.next_u32() as usize);
    assert_eq!(
        rng.size_unit(),
        MaskRng::new(stream(1), stream(2)).size_unit()
    );
    assert_eq!(format!("{rng:?}"), "MaskRng { .. }");
}
