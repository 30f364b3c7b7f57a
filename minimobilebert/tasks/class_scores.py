"""Scores of each class, for labels of several classes: precision, recall and F1, counted in a confusion matrix."""

import math

import numpy as np

from .metrics import pair_of


def confusion_matrix(predictions, labels, classes):
    """counts [classes, classes] of rows by their label and prediction, both class numbers"""
    predictions, labels = pair_of(predictions, labels)
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


def class_scores(confusion):
    """confusion [C, C] -> precision, recall and F1 [C] of each class as the positive one; 0 where nothing is counted"""
    right, labels, predictions = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    both = np.maximum(labels + predictions, 1)
    return right / np.maximum(predictions, 1), right / np.maximum(labels, 1), 2 * right / both


def macro_f1(confusion):
    """The mean of the classes' F1: rare classes count as much as frequent ones"""
    return math.fsum(class_scores(confusion)[2]) / len(confusion)
