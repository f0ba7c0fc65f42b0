// Which trace each step of an asynchronous walk belongs to, where no tracer of an operator's keeps that already: so that
// the log can name it. A call that names no trace never enters it.

import { AsyncLocalStorage } from 'node:async_hooks'
import { type Context, type ContextManager, context, ROOT_CONTEXT } from '@opentelemetry/api'

/** Once a process; a tracer that was loaded before keeps its own. */
export function keepTraceContext(): void {
  const storage = new AsyncLocalStorage<Context>()
  const manager: ContextManager = {
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (entered, act, self, ...args) => storage.run(entered, () => act.apply(self, args)),
    bind: (entered, target) =>
      typeof target === 'function'
        ? (storage.run(entered, () => AsyncLocalStorage.bind(target as never)) as never)
        : target,
    enable: () => manager,
    disable: () => {
      storage.disable()
      return manager
    },
  }
  context.setGlobalContextManager(manager)
}
