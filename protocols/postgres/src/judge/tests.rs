use super::*;

fn environment() -> Arc<Environment> {
    Arc::new(Environment {
        standard_conforming_strings: true,
        search_path: Some(vec!["public".into()]),
        role: "app".into(),
    })
}

#[test]
fn a_text_with_literals_is_kept_once_it_comes_again() {
    let (cache, environment, catalog) = (Cache::default(), environment(), sql::sample());
    let judge = |number: u32| {
        let text = format!("SELECT name FROM customers WHERE name = 'c{number}'");
        cache.judge(&text, &environment, &catalog).map_err(|wrong| wrong.message)
    };
    assert!(judge(0).is_ok_and(|judged| judged.exact), "the first of its shape is parsed");
    let seen: Vec<_> = (0..3).map(|_| judge(1).expect("it is SQL")).collect();
    let last = judge(1).expect("it is SQL");
    assert!(!Arc::ptr_eq(&seen[0], &last), "the first time its shape was enough");
    assert!(Arc::ptr_eq(&seen[1], &last) && Arc::ptr_eq(&seen[2], &last), "then it was kept");
    assert_eq!(&*last.text, "SELECT name FROM customers WHERE name = 'c1'");
    assert_ne!(judge(2).expect("it is SQL").text, last.text, "another is another");
}
