//! TensorFlow's Event message, in the wire format of protocol buffers.
//!
//! Field numbers are those of event.proto, summary.proto and tensor.proto.

/// Builder of a message, and its bytes.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u32, value: u64) -> Self {
        self.key(field, 0);
        self.varint(value);
        self
    }

    fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn message(self, field: u32, inner: &Self) -> Self {
        self.bytes(field, &inner.0)
    }
}

/// An encoded event.
#[derive(Debug)]
pub(super) struct Event(Message);

impl Event {
    /// The first event of every file: the format version.
    pub(super) fn version(time: f64) -> Self {
        Self(Message::default().double(1, time).bytes(3, b"brain.Event:2"))
    }

    /// Session start: discards events of `step` and later in older files.
    pub(super) fn restart(time: f64, step: u64) -> Self {
        const START: u64 = 1;
        Self(at(time, step).message(7, &Message::default().number(1, START)))
    }

    /// A scalar, in the format that all versions of TensorBoard read.
    pub(super) fn scalar(time: f64, step: u64, tag: &str, value: f32) -> Self {
        Self::summary(time, step, &named(tag).float(2, value))
    }

    /// An image of [width, height] pixels.
    pub(super) fn image(time: f64, step: u64, tag: &str, png: &[u8], size: [u32; 2]) -> Self {
        const RGB: u64 = 3;
        let image = Message::default().number(1, size[1].into()).number(2, size[0].into());
        let image = image.number(3, RGB).bytes(4, png);
        Self::summary(time, step, &named(tag).message(4, &image))
    }

    /// A text: a tensor of one string, for the plugin `text`.
    pub(super) fn text(time: f64, step: u64, tag: &str, text: &str) -> Self {
        const STRING: u64 = 7;
        let plugin = Message::default().bytes(1, b"text");
        let metadata = Message::default().message(1, &plugin);
        let shape = Message::default().message(2, &Message::default().number(1, 1));
        let tensor = Message::default().number(1, STRING).message(2, &shape);
        let tensor = tensor.bytes(8, text.as_bytes());
        Self::summary(time, step, &named(tag).message(8, &tensor).message(9, &metadata))
    }

    fn summary(time: f64, step: u64, value: &Message) -> Self {
        Self(at(time, step).message(5, &Message::default().message(1, value)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0.0
    }
}

fn at(time: f64, step: u64) -> Message {
    Message::default().double(1, time).number(2, step)
}

fn named(tag: &str) -> Message {
    Message::default().bytes(1, tag.as_bytes())
}
