// The stream of changes. When it ends, another is begun, and its snapshot sets everything right.

const FIRST_WAIT = 250;
const LONGEST_WAIT = 3000;

/** Follow the stream for ever. `take` gets each event, `lost` whether the stream is down. */
export function follow(person, take, lost) {
  let wait = FIRST_WAIT;

  function open() {
    const socket = new WebSocket(
      `ws://${location.host}/events?person=${encodeURIComponent(person)}`,
    );
    socket.addEventListener("message", ({ data }) => {
      wait = FIRST_WAIT;
      lost(false);
      take(JSON.parse(data));
    });
    socket.addEventListener("close", () => {
      lost(true);
      setTimeout(open, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    });
  }

  open();
}
