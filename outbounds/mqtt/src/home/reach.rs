//! A connection beside the one of the events, in the version that this broker speaks.

use crate::dial::{Connection, NoConnection, Offer, Stage, dial};
use crate::plan::{OLD, Plan};
use crate::refusal;

/// Dials the broker with nothing of the events' connection: no last will, no status. Where the broker says that it does
/// not speak the version, and another may be spoken, it is dialled once more. The events' connection tells the operator.
pub(super) async fn reach(plan: &Plan) -> Result<Connection, NoConnection> {
    let spoken = plan.spoken();
    match with(plan, spoken).await {
        Err(none) if none.word == refusal::VERSION_5.word && plan.fall_back => {
            let other = if spoken == OLD { plan.version } else { OLD };
            let connection = with(plan, other).await?;
            plan.speak(other);
            Ok(connection)
        }
        reached => reached,
    }
}

async fn with(plan: &Plan, version: u8) -> Result<Connection, NoConnection> {
    let offer = Offer {
        version,
        will: false,
        status: false,
    };
    // How far it came is of no use: all that is offered is the version.
    let mut stage = Stage::Reach;
    dial(plan, offer, &mut stage).await
}
