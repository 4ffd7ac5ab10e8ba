//! Names in a pickle that only serve to run code.
//!
//! Nothing in a pickle is executed here, whatever it names. A file with such a name is refused all the
//! same, since Python would run it: it should not be trusted.

use crate::error::{Fault, shown};

/// Modules whose functions run programs, load code or reach the system.
const MODULES: &str = "_frozen_importlib _imp _io _operator _pickle _posixsubprocess _thread \
    _winapi aiohttp asyncio atexit bdb cPickle cProfile cffi cloudpickle code codeop commands \
    compileall concurrent ctypes dill distutils doctest ensurepip ftplib http httpx idlelib imaplib \
    imp importlib joblib lib2to3 linecache marshal mmap multiprocessing nt os pdb pickle pip \
    pkgutil platform popen2 posix profile pty py_compile pydoc requests runpy setuptools shelve \
    shutil signal site smtplib socket ssl subprocess sys telnetlib threading timeit trace urllib \
    webbrowser winreg zipimport";

/// Parts of NumPy and PyTorch that compile or load code.
const PACKAGES: &str = "numpy.distutils numpy.f2py numpy.testing torch.jit torch.hub torch.package \
    torch.fx torch._dynamo torch._inductor torch.distributed.rpc torch.utils.cpp_extension \
    torch.utils.bottleneck torch.utils.collect_env";

/// Functions that run code, in whatever module they stand.
const FUNCTIONS: &str = "CodeType FileIO FunctionType ModuleType Popen __import__ _load_from_bytes \
    _run_code _run_module_code attrgetter breakpoint check_call check_output delattr eval exec \
    exec_command execfile execv execve getattr import_module load_module loads locate methodcaller \
    open popen read_pickle resolve_name run_code run_path runstring setattr spawn system";

/// Functions of `builtins` that run code or reach the interpreter.
const BUILTINS: &str = "apply compile exit filter globals input locals map quit vars";

/// Returns an error for a name that runs code.
pub(super) fn refuse_code(module: &str, name: &str) -> Result<(), Fault> {
    if !runs_code(module, name) {
        return Ok(());
    }
    Err(Fault::Problem(format!(
        "the file calls `{}`, which serves to run code; it was not executed. Such a file should \
         not be trusted: get the weights from another source, as safetensors if there is a choice",
        shown(&format!("{module}.{name}"))
    )))
}

fn runs_code(module: &str, name: &str) -> bool {
    let listed = |list: &str, word: &str| list.split_ascii_whitespace().any(|known| known == word);
    let below = |parent: &str| {
        module.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let builtin = ["builtins", "__builtin__"].contains(&module);
    let loads = ["torch", "torch.serialization", "numpy", "numpy.lib.npyio"].contains(&module);
    MODULES.split_ascii_whitespace().chain(PACKAGES.split_ascii_whitespace()).any(below)
        // A name may contain dots: `torch.serialization` and `os.system` name os.system.
        || name.split('.').any(|part| listed(MODULES, part) || listed(FUNCTIONS, part))
        || (builtin && listed(BUILTINS, name))
        || (loads && ["load", "_load", "_legacy_load"].contains(&name))
}
