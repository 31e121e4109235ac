//! A wall clock that is set back while an event waits for its retry.

use faceway_core::Scope;

use super::*;

/// Fails the first attempt of all, and takes everything after it.
struct Stumbles(watch::Sender<Vec<u64>>);

impl Outbound for Stumbles {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        let code = Code::word("said");
        self.0.send_modify(|asked| asked.push(number(message.id)));
        let is_first = self.0.borrow().len() == 1;
        Box::pin(async move {
            if is_first {
                Verdict::Retry {
                    scope: Scope::Message,
                    code,
                    after: None,
                }
            } else {
                Verdict::Delivered { code }
            }
        })
    }
}

impl Stumbles {
    async fn asked(&self, count: usize) -> Vec<u64> {
        let mut asked = self.0.subscribe();
        let enough = asked.wait_for(|asked| asked.len() >= count);
        let asked = tokio::time::timeout(PATIENCE, enough).await;
        asked.unwrap().unwrap().clone()
    }
}

/// The event is tried again after its pause, and its device's others follow.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_holds_up_no_retry() {
    let retry = "retry = { backoff_min = \"100ms\", backoff_max = \"200ms\" }";
    let file = FILE.replace("\n[[route]]", &format!("\n{retry}\n[[route]]"));
    let mut bench = Bench::of(&file).await;
    let outbound = Arc::new(Stumbles(watch::Sender::default()));
    bench.add(Arc::clone(&outbound) as _).await;
    bench.append(bench.clock.now()).await;
    assert_eq!(outbound.asked(1).await, [100]);
    let parked = |dispatch: &Dispatch| {
        let survey = dispatch.lanes()[0].status().get().survey;
        survey.is_some_and(|survey| survey.parked == 1)
    };
    bench.eventually(parked).await;
    let yesterday = bench.clock.now().plus_millis(-86_400_000);
    bench.clock.jump(yesterday);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(outbound.asked(4).await, [100, 100, 101, 102]);
}
