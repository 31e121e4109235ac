//! A device's decisions and alarms at a door.

use super::{Text, members, words};

members! {
    /// The device's decision at a door.
    #[derive(Eq)]
    pub struct Access {
        /// Whether it let the person in.
        granted: Option<bool>,
        /// What was used.
        methods: Vec<AccessMethod>,
        /// Why it did not.
        denied_reason: Option<DeniedReason>,
    }
}

words!(
    /// What was used at a door.
    AccessMethod {
        /// Face.
        Face,
        /// Access card.
        Card,
        /// Identity card.
        IdCard,
        /// QR code.
        QrCode,
        /// PIN.
        Pin,
        /// Health code.
        HealthCode,
        /// Button at the door.
        Button,
        /// Job number.
        JobNumber,
    }
);

words!(
    /// Why a device denied access.
    DeniedReason {
        /// The face is not that of the identity card.
        PersonIdCardMismatch,
        /// The face is not that of the access card.
        PersonCardMismatch,
        /// The face is not that of the QR code.
        PersonCodeMismatch,
        /// The visitor's permission has not begun or has ended.
        VisitorNotValid,
        /// Not in the hours of access.
        OutsideHours,
        /// The identity card is not valid.
        InvalidIdCard,
        /// The access card is not valid.
        InvalidCard,
        /// The QR code is not valid.
        InvalidQrCode,
        /// Body temperature.
        Temperature,
        /// Wrong PIN.
        WrongPin,
        /// Wrong PIN too many times.
        TooManyWrongPins,
    }
);

members! {
    /// An alarm of the device.
    #[derive(Eq)]
    pub struct Alarm<'a> {
        /// What it is about.
        alarm_type as "type": Option<AlarmType>,
        /// What became of it.
        state: Option<AlarmState>,
        /// The device's own words.
        description: Option<Text<'a>>,
    }
}

words!(
    /// What an alarm is about.
    AlarmType {
        /// The device is being taken off.
        Tamper,
        /// The door was forced.
        ForcedDoor,
        /// The door is held open.
        DoorHeldOpen,
        /// Somebody tries passwords.
        PasswordAttack,
        /// Fire.
        Fire,
    }
);

words!(
    /// What became of an alarm.
    AlarmState {
        /// It began.
        Raised,
        /// It is over.
        Cleared,
        /// It could not be cleared.
        ClearingFailed,
    }
);
