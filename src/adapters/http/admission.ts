// How many calls are served at a time, by class, so that what waits is bounded in number and in time and one class never
// waits for another (S17). It knows nothing of callers and decides nothing about authority.

export type Room = {
  /** Calls served at a time. */
  readonly atOnce: number
  /** Calls that may wait for one of those to be done. */
  readonly waiting: number
}

export type Patience = {
  /** Who has waited for so long is turned away. */
  readonly waitMs: number
  /** A call that takes longer waits for somebody itself, an owner or a disk: it goes on, and its place is free again. */
  readonly placeMs: number
}

export type Occupied = { readonly atOnce: number; readonly waiting: number }

/** What gives a place back, to be called once the call is answered; null where there is none. */
export type Entering = Promise<(() => void) | null> | (() => void) | null

export type Admission<C extends string> = {
  /** Resolves once there is a place. Null: too many wait, or it waited too long. */
  enter(of: C): Entering
  /** What each class has in it now. */
  occupied(): Readonly<Record<C, Occupied>>
  /** Turns away whoever waits. */
  close(): void
}

/** Turned away in one turn of the event loop: a thousand answers at once would hold up everybody else. */
const LATE_AT_ONCE = 64

type Place = { readonly since: number }
type Waiting = { readonly since: number; readonly resolve: (leave: (() => void) | null) => void }

/** `monotonic`: milliseconds that never step back. */
export function createAdmission<C extends string>(
  rooms: Readonly<Record<C, Room>>,
  patience: Patience,
  monotonic: () => number,
): Admission<C> {
  const classes = Object.fromEntries(
    Object.entries<Room>(rooms).map(([name, room]) => [name, createRoom(room, patience, monotonic)]),
  ) as Record<C, ReturnType<typeof createRoom>>
  const all = () => Object.entries<ReturnType<typeof createRoom>>(classes)

  return {
    enter: (of) => classes[of].enter(),
    occupied: () => Object.fromEntries(all().map(([name, room]) => [name, room.occupied()])) as Record<C, Occupied>,
    close() {
      for (const [, room] of all()) room.close()
    },
  }
}

function createRoom({ atOnce, waiting: most }: Room, { waitMs, placeMs }: Patience, monotonic: () => number) {
  /** Both oldest first. */
  const places = new Set<Place>()
  const queue: Waiting[] = []
  let timer: ReturnType<typeof setTimeout> | undefined

  function take(now: number): () => void {
    const place = { since: now }
    places.add(place)
    return () => {
      if (places.delete(place) && queue.length > 0) tend()
    }
  }

  /** Lets in whom there is room for, and turns away who waited too long. */
  function tend(): void {
    clearTimeout(timer)
    timer = undefined
    const now = monotonic()
    for (const place of places) {
      if (now - place.since < placeMs) break
      places.delete(place)
    }
    let late = 0
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      const isLate = now - next.since >= waitMs
      if (isLate ? late === LATE_AT_ONCE : places.size >= atOnce) break
      if (isLate) late++
      queue.shift()
      next.resolve(isLate ? null : take(now))
    }
    const [first] = queue
    if (first === undefined) return
    const [oldest] = places
    const due = Math.min(first.since + waitMs, (oldest?.since ?? now) + placeMs)
    timer = setTimeout(tend, Math.max(1, Math.ceil(due - now)))
    timer.unref()
  }

  return {
    enter(): Entering {
      const now = monotonic()
      if (queue.length === 0 && places.size < atOnce) return take(now)
      if (queue.length >= most) return null
      const { promise, resolve } = Promise.withResolvers<(() => void) | null>()
      queue.push({ since: now, resolve })
      if (timer === undefined) tend()
      return promise
    },
    occupied: () => ({ atOnce: places.size, waiting: queue.length }),
    close() {
      clearTimeout(timer)
      timer = undefined
      for (const { resolve } of queue.splice(0)) resolve(null)
    },
  }
}
