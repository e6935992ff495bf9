//! A pause of lifesign as a whole is seen wherever people look.

use http::Method;

use crate::explain::{log_in, page};
use crate::house::*;

#[tokio::test]
async fn a_pause_of_all_of_lifesign_is_told_by_readyz_and_on_every_page_in_both_languages() {
    let house = House::new().await;
    let cookie = log_in(&house).await;
    let ready = async || house.send(Method::GET, "/readyz", None, "").await;
    assert_eq!(ready().await.json()["paused"], false);
    for (lang, words) in [("en", "restarts of all services are held"), ("zh", "不告警、不重启")] {
        let cookie = format!("{cookie}; lifesign_lang={lang}");
        for path in ["/", "/incidents", "/services/orders"] {
            house.state.hold.set(false);
            let without = page(&house, path, &cookie).await.body;
            assert!(!without.contains(words), "{path} {lang}: {without}");
            house.state.hold.set(true);
            let with = page(&house, path, &cookie).await.body;
            let mark = with.split("id=\"hold\"").nth(1).unwrap();
            assert!(mark.split("</div>").next().unwrap().contains(words), "{path} {lang}: {with}");
        }
    }
    // It is at work all the same, and says no more to strangers than that.
    let told = ready().await;
    assert_eq!((told.status.as_u16(), &told.json()["paused"]), (200, &true.into()));
    assert!(!house.send(Method::GET, "/login", None, "").await.body.contains("restarts of all"));
}
