use super::nearest;

#[test]
fn names_that_were_perhaps_meant_are_found() {
    let names = ["orders", "orders-eu", "clicks"].map(String::from);
    let cases =
        [("Orders", Some("orders")), ("oders", Some("orders")), ("orders-eu-2", Some("orders-eu")), ("x", None)];
    for (name, near) in cases {
        assert_eq!(nearest(name, &names), near, "{name}");
    }
}
