// Sound from the microphone as a WAV file. What browsers record by themselves is in formats that libsndfile cannot read.

const UNTOUCHED = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

// Starts at once; what it returns ends the recording and gives the file.
export async function startRecording() {
  if (!navigator.mediaDevices) throw new Error("the browser gives the microphone only to pages on this computer or behind HTTPS");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: UNTOUCHED }).catch((error) => {
    throw new Error(`the microphone cannot be used: ${error.message}`);
  });
  const recorder = new MediaRecorder(stream), pieces = [];
  recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
  recorder.start();
  return async () => {
    const ended = new Promise((done) => recorder.addEventListener("stop", done));
    recorder.stop();
    await ended;
    for (const track of stream.getTracks()) track.stop();
    const context = new AudioContext();
    const sound = await context.decodeAudioData(await new Blob(pieces).arrayBuffer());
    await context.close();
    return wav(sound.getChannelData(0), sound.sampleRate);
  };
}

// Mono samples from -1 to 1 as a file of 16 bits.
function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, x)) * 32767, true));
  return new Blob([view]);
}
