// What may speak with the kernel for us, by name.
import { kernelTransport } from './kernel-transport.ts'
import type { Transport } from './transport.ts'

/** `kernel`: ourselves, over /dev/fuse. `fuse-native`: libfuse 2, through the optional package of that name. */
export type Binding = 'kernel' | 'fuse-native'

/** Loads nothing that was not asked for. FsError in one line where it is not there. */
export async function loadTransport(binding: Binding): Promise<Transport> {
  switch (binding) {
    case 'kernel':
      return kernelTransport
    case 'fuse-native': {
      const { loadNativeTransport } = await import('./native-transport.ts')
      return loadNativeTransport()
    }
  }
}
