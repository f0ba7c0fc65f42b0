// The one error that costs a guard its whole view, and not only its connection.

/** The broker said something that this guard cannot trust or read: its view must start anew. */
export class FeedFault extends Error {
  override readonly name = 'FeedFault'
}
