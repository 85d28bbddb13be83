use super::*;
use crate::fs::io::{BufferSink, BufferSource};

fn ends() -> (PipeFile, PipeFile, Arc<File>) {
    let pipe = Pipe::new(1, &Arc::default());
    let (reader, writer) = (pipe.open_end(true, false).unwrap().0, pipe.open_end(false, true).unwrap().0);
    // poll() ignores which file it is asked through.
    let file = File::anonymous(Box::new(Pipe::new(2, &Arc::default()).open_end(true, true).unwrap().0), 0);
    (reader, writer, file)
}

fn write(end: &PipeFile, bytes: &[u8]) -> Result<usize> {
    end.pipe.write(&mut BufferSource::new(bytes), false)
}

fn read(end: &PipeFile, max: usize) -> Result<usize> {
    end.pipe.read(&mut BufferSink::new(&mut vec![0; max]))
}

#[test]
fn reader_sees_hang_up_with_and_after_data() {
    let (reader, writer, file) = ends();
    assert_eq!(reader.poll(&file, None), Events::empty());
    assert_eq!(writer.poll(&file, None), WRITABLE);
    write(&writer, b"abc").unwrap();
    drop(writer);
    assert_eq!(reader.poll(&file, None), READABLE | Events::HUP);
    assert_eq!(read(&reader, 10), Ok(3));
    assert_eq!(reader.poll(&file, None), Events::HUP);
    assert_eq!(read(&reader, 10), Ok(0));
}

#[test]
fn writer_sees_error_and_epipe() {
    let (reader, writer, file) = ends();
    assert_eq!(read(&reader, 10), Err(Errno::EAGAIN));
    drop(reader);
    assert_eq!(writer.poll(&file, None), WRITABLE | Events::ERR);
    assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
    assert_eq!(write(&writer, b""), Ok(0));
}

#[test]
fn full_pipe_is_not_writable_until_a_page_is_free() {
    let (reader, writer, file) = ends();
    assert_eq!(write(&writer, &[0; 70000]), Ok(65536));
    assert_eq!(writer.poll(&file, None), Events::empty());
    read(&reader, 100).unwrap();
    assert_eq!(writer.poll(&file, None), Events::empty());
    read(&reader, 4000).unwrap();
    assert_eq!(writer.poll(&file, None), WRITABLE);
}

#[test]
fn capacity_is_rounded_and_bounded() {
    let pipe = Pipe::new(1, &Arc::default());
    assert_eq!(pipe.capacity(), 65536);
    assert_eq!(pipe.set_capacity(0), Ok(4096));
    assert_eq!(pipe.set_capacity(4097), Ok(8192));
    assert_eq!(pipe.set_capacity(1 << 20), Ok(1 << 20));
    assert_eq!(pipe.set_capacity((1 << 20) + 1), Err(Errno::EPERM));
    assert_eq!(pipe.set_capacity(u32::MAX), Err(Errno::EINVAL));
    assert_eq!(pipe.capacity(), 1 << 20);
}

#[test]
fn content_goes_with_the_last_end() {
    let pipe = Pipe::new(0, &Arc::default());
    let (both, ..) = pipe.open_end(true, true).unwrap();
    write(&both, b"left").unwrap();
    drop(both);
    assert_eq!(pipe.available(), 0);
}
