//! The process that holds a pod's network open while its containers come and go. It does nothing; a pod's sandbox is removed by
//! force, so it need not listen to signals.

fn main() {
    loop {
        std::thread::park();
    }
}
