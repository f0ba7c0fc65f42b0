// What happened, told to whoever holds open streams. A notice that is lost loses nothing that is owed.

import type { Notifier } from '../actions/ports.ts'

type Notice = Parameters<Notifier['notify']>[0]

export function createNotices(): Notifier & { listen(listener: (notice: Notice) => void): void } {
  const listeners: ((notice: Notice) => void)[] = []
  return {
    notify(notice) {
      for (const listener of listeners) listener(notice)
    },
    listen(listener) {
      listeners.push(listener)
    },
  }
}
