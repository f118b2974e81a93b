//! Message types from `.proto` texts and descriptor sets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::super::registered::RegisteredSchema;

/// A text that is larger than this is no schema.
const MAX_BYTES: usize = 4 << 20;
/// How deep braces and brackets may lie in each other: the compiler goes as deep as they do.
const MAX_DEPTH: usize = 64;

/// The message called `name`, or the only one of `main`.
pub(super) fn choose(
    pool: &DescriptorPool,
    main: Option<FileDescriptor>,
    name: Option<&str>,
) -> Result<MessageDescriptor, String> {
    let own: Vec<MessageDescriptor> = match &main {
        Some(file) => file.messages().collect(),
        None => pool.all_messages().filter(|m| !m.is_map_entry() && m.parent_message().is_none()).collect(),
    };
    let names = || {
        let names: Vec<&str> = own.iter().map(MessageDescriptor::full_name).take(20).collect();
        names.join(", ")
    };
    match name {
        Some(name) => {
            pool.get_message_by_name(name).ok_or_else(|| format!("there is no message `{name}`; there are {}", names()))
        }
        None => match own.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err("it holds no message".to_owned()),
            _ => Err(format!("it holds several messages: name one by `message`, of {}", names())),
        },
    }
}

/// A message of a serialized `FileDescriptorSet`.
///
/// # Errors
/// Says why, for bytes that are none, or that do not hold the message.
pub fn from_descriptor_set(bytes: &[u8], name: Option<&str>) -> Result<MessageDescriptor, String> {
    let pool = guarded(|| DescriptorPool::decode(bytes).map_err(|error| error.to_string()))?;
    // Compilers put the file that they were asked for last.
    let main = pool.files().last();
    choose(&pool, main, name)
}

/// A message of a `.proto` file. What it imports is looked for beside it, and in the folders above as far as they are named.
///
/// # Errors
/// Says why, for a file that can't be read or compiled, or that does not hold the message.
pub fn from_proto_file(path: &Path, name: Option<&str>) -> Result<MessageDescriptor, String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = path.file_name().and_then(|file| file.to_str()).ok_or("its name is not UTF-8")?;
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    check(&text)?;
    let pool = guarded(|| {
        let mut compiler = Compiler::new([folder]).map_err(|error| error.to_string())?;
        compiler.include_imports(true);
        compiler.open_file(file).map_err(|error| error.to_string())?;
        Ok(compiler.descriptor_pool())
    })?;
    choose(&pool, pool.get_file_by_name(file), name)
}

/// The name under which a registered text is compiled; none that an import could have.
const MAIN: &str = "<registered>.proto";

/// All messages of a registered text, in their order.
pub(super) fn from_registry(schema: &RegisteredSchema) -> Result<FileDescriptor, String> {
    check(&schema.text)?;
    schema.references.iter().try_for_each(|(_, text)| check(text))?;
    let pool = guarded(|| {
        let mut resolver = ChainFileResolver::new();
        resolver.add(Texts(schema.clone()));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler.open_file(MAIN).map_err(|error| error.to_string())?;
        Ok(compiler.descriptor_pool())
    })?;
    pool.get_file_by_name(MAIN).ok_or_else(|| "it holds no file".to_owned())
}

/// Finds the texts that came with a registered schema.
struct Texts(RegisteredSchema);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == MAIN {
            return File::from_source(MAIN, &self.0.text);
        }
        match self.0.references.iter().find(|(reference, _)| reference == name) {
            Some((name, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Refuses texts that would take the compiler too far.
fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it takes more than {MAX_BYTES} bytes"));
    }
    let mut depth = 0usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
        }
    }
    Ok(())
}

/// Does what may fail over a text. A compiler that panics has met a text that is none.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("it makes no sense".to_owned()))
}
