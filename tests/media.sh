#!/usr/bin/env bash
# Makes the pictures and sounds that test browsers and test calls send, in tests/browser/media:
#
#   talk.mjpeg   10 s of 1280x720 at 30: a moving test picture with a running clock
#   small.mjpeg  the same, 320x180 at 15: for tests with many pages and no question about the picture
#   talk.wav     10 s of speech, 48 kHz mono
#   sync.mjpeg   10 s of 1280x720 at 30: black, white for the first 100 ms of each second
#   sync.wav     10 s of 48 kHz mono: silence, a 1 kHz beep for the first 100 ms of each second
#
# Chromium loops them (--use-file-for-fake-video-capture, --use-file-for-fake-audio-capture).
# Files that are there already are kept.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p browser/media
cd browser/media

readonly SECONDS_LONG=10
readonly PICTURE=size=1280x720:rate=30:duration=$SECONDS_LONG

# make_file NAME COMMAND...: runs COMMAND with a temporary name in the place of OUT, then moves it,
# so that a file which is there is whole.
make_file() {
    local name=$1 part=.part.$1
    shift
    [ -s "$name" ] && return
    "${@/#OUT/$part}" </dev/null
    mv "$part" "$name"
    echo "made tests/browser/media/$name"
}

ffmpeg_to() { ffmpeg -nostdin -loglevel error -y "$@"; }

speak() { # speak OUT: espeak-ng says enough to fill the file
    local text='This is a test of attache. One, two, three, four, five, six, seven, eight, nine, ten.
        The quick brown fox jumps over the lazy dog. Somebody speaks here, and somebody listens there.'
    espeak-ng -v en -s 150 -w "$1.raw.wav" "$text"
    ffmpeg_to -i "$1.raw.wav" -af "apad,atrim=duration=$SECONDS_LONG" -ar 48000 -ac 1 -c:a pcm_s16le -f wav "$1"
    rm "$1.raw.wav"
}

make_file talk.mjpeg ffmpeg_to -f lavfi -i "testsrc2=$PICTURE" -c:v mjpeg -pix_fmt yuvj420p -q:v 5 -f mjpeg OUT
make_file small.mjpeg ffmpeg_to -f lavfi -i "testsrc2=size=320x180:rate=15:duration=$SECONDS_LONG" \
    -c:v mjpeg -pix_fmt yuvj420p -q:v 5 -f mjpeg OUT
make_file talk.wav speak OUT
make_file sync.mjpeg ffmpeg_to -f lavfi -i "color=black:$PICTURE" \
    -vf "drawbox=color=white:t=fill:enable='lt(mod(t,1),0.099)'" -c:v mjpeg -pix_fmt yuvj420p -q:v 5 -f mjpeg OUT
make_file sync.wav ffmpeg_to -f lavfi -i "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':s=48000:d=$SECONDS_LONG" \
    -ac 1 -c:a pcm_s16le -f wav OUT
